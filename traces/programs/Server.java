/*
 * A garbage-collected server under load: an HTTP server on the loopback, a pool of handler threads
 * that allocate for every answer and keep a bounded cache, and clients in the same process that
 * ask. The heap grows, is collected by several threads and is handed back.
 *
 *   java Server.java [CLIENTS] [REQUESTS]
 */
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

class Server {
    static final ConcurrentHashMap<Integer, byte[]> cache = new ConcurrentHashMap<>();

    static byte[] answer(int key) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 4000; i++)
            text.append(key * 31 + i).append(' ');
        cache.put(key % 64, new byte[64 * 1024]);
        return text.toString().getBytes();
    }

    static void ask(int port, int requests, int seed) {
        try {
            for (int i = 0; i < requests; i++) {
                URI uri = URI.create("http://127.0.0.1:" + port + "/" + (seed * 1000 + i));
                try (var stream = uri.toURL().openStream()) {
                    stream.readAllBytes();
                }
            }
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    public static void main(String[] arguments) throws Exception {
        int clients = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 6;
        int requests = arguments.length > 1 ? Integer.parseInt(arguments[1]) : 100;
        var loopback = InetAddress.getLoopbackAddress();
        var server = HttpServer.create(new InetSocketAddress(loopback, 0), 0);
        ExecutorService handlers = Executors.newFixedThreadPool(6);
        server.setExecutor(handlers);
        server.createContext("/", exchange -> {
            byte[] body = answer(Integer.parseInt(exchange.getRequestURI().getPath().substring(1)));
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        int port = server.getAddress().getPort();
        Thread[] threads = new Thread[clients];
        for (int i = 0; i < clients; i++) {
            int seed = i;
            threads[i] = new Thread(() -> ask(port, requests, seed));
            threads[i].start();
        }
        for (Thread thread : threads)
            thread.join();
        cache.clear();
        System.gc();
        server.stop(0);
        handlers.shutdown();
    }
}
