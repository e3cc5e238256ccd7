package cases;

import java.util.Objects;

/** Assertions whose message says what was wanted and what was there. */
final class Check {
    private Check() {}

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object wanted, Object found, String what) {
        if (!Objects.equals(wanted, found)) {
            throw new AssertionError(what + ": wanted " + wanted + ", found " + found);
        }
    }

    /** Runs the call and hands back the exception of the wanted type that it must throw. */
    static <E extends Throwable> E thrown(Class<E> type, String what, Call call) {
        try {
            call.run();
        } catch (Throwable thrown) {
            if (type.isInstance(thrown)) {
                return type.cast(thrown);
            }
            throw new AssertionError(what + ": wanted " + type.getSimpleName() + ", found " + thrown, thrown);
        }
        throw new AssertionError(what + ": nothing was thrown");
    }

    @FunctionalInterface
    interface Call {
        void run() throws Exception;
    }
}
