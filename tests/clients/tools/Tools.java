import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command-line programs by their main(), one after the other in one machine: each line of standard input is a class and
 * its arguments, separated by tabs; the answer is what the program printed, then a line "== STATUS". Spares a start of Java a command.
 */
public class Tools {
    /** Thrown by exit(). Some programs catch it, print it and exit once more: only the first exit counts, and what was printed till then. */
    static class Ended extends RuntimeException {
    }

    static ByteArrayOutputStream said;
    static String printed;
    static int first;

    static void leave(int status, String message) {
        if (printed == null) {
            if (message != null)
                System.err.println(message);
            System.out.flush();
            printed = said.toString(StandardCharsets.UTF_8);
            first = status;
        }
        throw new Ended();
    }

    static void run(String[] words) throws Exception {
        try {
            Class.forName(words[0]).getMethod("main", String[].class)
                .invoke(null, (Object) Arrays.copyOfRange(words, 1, words.length));
            leave(0, null);
        } catch (InvocationTargetException e) {
            if (printed == null)
                e.getCause().printStackTrace();
            try {
                leave(1, null);
            } catch (Ended ignored) {
                return;
            }
        } catch (Ended ignored) {
            return;
        }
    }

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure(Tools::leave);
        Exit.setHaltProcedure(Tools::leave);
        PrintStream answer = System.out;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            said = new ByteArrayOutputStream();
            printed = null;
            PrintStream into = new PrintStream(said, true, StandardCharsets.UTF_8);
            System.setOut(into);
            System.setErr(into);
            run(line.split("\t", -1));
            answer.println(printed.stripTrailing());
            answer.println("== " + first);
            answer.flush();
        }
        Runtime.getRuntime().halt(0);
    }
}
