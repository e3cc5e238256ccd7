package cases;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/**
 * {@code cases.Main --namesrv HOST:PORT [--grpc HOST:PORT] --suffix NAME [--jobs N] [--timeout-s N] CASE...}
 *
 * <p>Runs the named cases ({@code all} for every one that needs nobody's help) and prints a line of JSON for each.
 * Exits with 1 if one failed. Suffixes keep the topics and groups of runs apart.
 */
public final class Main {
    /** Cases that measure time run when nothing else does. */
    private static final List<String> ALONE = List.of("long-poll");

    private Main() {}

    public static void main(String[] args) throws Exception {
        Path work = Files.createTempDirectory("client-cases");
        // Clients keep logs and broadcast offsets below the home directory; a test leaves nothing in the user's.
        System.setProperty("user.home", work.toString());
        System.setProperty("rocketmq.client.logRoot", work.toString());
        System.setProperty("rocketmq.client.logLevel", "WARN");
        // A queue that is handed over while messages of it are in work stays locked this long, 20 s by default.
        System.setProperty("rocketmq.client.unlockDelayTimeMills", "1000");

        String namesrv = "127.0.0.1:9876";
        String grpc = "127.0.0.1:8081";
        String suffix = Long.toString(System.currentTimeMillis(), 36);
        int jobs = 4;
        int timeoutS = 90;
        List<String> names = new ArrayList<>();
        for (int i = 0; i < args.length; i++) {
            switch (args[i]) {
                case "--namesrv" -> namesrv = args[++i];
                case "--grpc" -> grpc = args[++i];
                case "--suffix" -> suffix = args[++i];
                case "--jobs" -> jobs = Integer.parseInt(args[++i]);
                case "--timeout-s" -> timeoutS = Integer.parseInt(args[++i]);
                default -> names.add(args[i]);
            }
        }
        Map<String, Case> all = new LinkedHashMap<>();
        // The slow ones come first, the quick ones fill in beside them.
        Ordered.register(all);
        Consuming.register(all);
        Transactions.register(all);
        Offsets.register(all);
        Steering.register(all);
        RequestReply.register(all);
        Api.register(all);
        Pulling.register(all);
        Filters.register(all);
        Namespaces.register(all);
        Trace.register(all);
        Sending.register(all);
        Content.register(all);
        Asking.register(all);
        Queries.register(all);
        LongPoll.register(all);
        Map<String, Case> known = new LinkedHashMap<>(all);
        Offsets.registerRestart(known);
        Cross.register(known);
        Surviving.register(known);
        Api.registerGrpc(known);
        Api.registerKills(known);
        Api.registerBrokerTraces(known);
        Api.registerMigration(known);

        Map<String, Case> chosen = new LinkedHashMap<>();
        for (String name : names) {
            if (name.equals("all")) {
                chosen.putAll(all);
            } else if (known.containsKey(name)) {
                chosen.put(name, known.get(name));
            } else {
                System.err.println("unknown case " + name + "; known: " + known.keySet());
                System.exit(2);
            }
        }
        int failed = run(chosen, new Place(namesrv, grpc, suffix), jobs, timeoutS);
        if (System.getenv("KEEP_CLIENT_LOGS") == null) {
            delete(work);
        }
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    private static int run(Map<String, Case> chosen, Place place, int jobs, int timeoutS)
            throws InterruptedException {
        int failed = 0;
        ExecutorService pool = daemons(jobs);
        List<Future<Boolean>> together = new ArrayList<>();
        for (Map.Entry<String, Case> entry : chosen.entrySet()) {
            if (!ALONE.contains(entry.getKey())) {
                together.add(pool.submit(() -> one(entry.getKey(), entry.getValue(), place, timeoutS)));
            }
        }
        for (Future<Boolean> result : together) {
            failed += passed(result) ? 0 : 1;
        }
        for (String name : ALONE) {
            if (chosen.containsKey(name)) {
                failed += one(name, chosen.get(name), place, timeoutS) ? 0 : 1;
            }
        }
        return failed;
    }

    private static boolean one(String name, Case subject, Place place, int timeoutS) {
        long start = System.nanoTime();
        ExecutorService thread = daemons(1);
        Map<String, Object> line = Json.object("case", name, "ok", false, "ms", 0L);
        try (Run run = new Run(place.namesrv(), place.grpc(), place.suffix())) {
            Future<Object> result = thread.submit(() -> subject.run(run));
            try {
                Object detail = result.get(timeoutS, TimeUnit.SECONDS);
                line.put("ok", true);
                line.put("detail", detail);
            } catch (TimeoutException late) {
                result.cancel(true);
                line.put("detail", "did not end within " + timeoutS + " s");
            } catch (ExecutionException failure) {
                line.put("detail", String.valueOf(failure.getCause()));
                StringWriter trace = new StringWriter();
                failure.getCause().printStackTrace(new PrintWriter(trace));
                line.put("trace", trace);
            } catch (InterruptedException stopped) {
                line.put("detail", "interrupted");
            }
            line.put("ms", Run.millisSince(start));
        } catch (RuntimeException failure) {
            line.put("ok", false);
            line.put("detail", "shutting its clients down: " + failure);
        }
        thread.shutdownNow();
        System.out.println(Json.write(line));
        return Boolean.TRUE.equals(line.get("ok"));
    }

    /** Which broker, and what keeps this run's names apart from those of others. */
    private record Place(String namesrv, String grpc, String suffix) {}

    private static boolean passed(Future<Boolean> result) throws InterruptedException {
        try {
            return result.get();
        } catch (ExecutionException failure) {
            System.err.println("the runner itself failed: " + failure.getCause());
            return false;
        }
    }

    private static ExecutorService daemons(int threads) {
        return Executors.newFixedThreadPool(threads, task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        });
    }

    private static void delete(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            files.sorted((a, b) -> b.compareTo(a)).forEach(file -> file.toFile().delete());
        } catch (IOException left) {
            System.err.println("left behind: " + left.getMessage());
        }
    }
}
