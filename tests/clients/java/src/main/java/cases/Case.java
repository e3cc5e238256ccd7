package cases;

/** One behaviour, shown against a running broker. Throwing is failing; what is returned is printed as detail. */
@FunctionalInterface
interface Case {
    Object run(Run run) throws Exception;
}
