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
    static class Ended extends RuntimeException {
        final int status;

        Ended(int status) {
            super("exit " + status, null, false, false);
            this.status = status;
        }
    }

    static int ended(Throwable t) {
        for (Throwable c = t; c != null; c = c.getCause())
            if (c instanceof Ended)
                return ((Ended) c).status;
        return -1;
    }

    static int run(String[] words) throws Exception {
        try {
            Class.forName(words[0]).getMethod("main", String[].class)
                .invoke(null, (Object) Arrays.copyOfRange(words, 1, words.length));
            return 0;
        } catch (InvocationTargetException e) {
            int status = ended(e.getCause());
            if (status >= 0)
                return status;
            e.getCause().printStackTrace();
            return 1;
        }
    }

    public static void main(String[] args) throws Exception {
        Exit.Procedure leave = (status, message) -> {
            if (message != null)
                System.err.println(message);
            throw new Ended(status);
        };
        Exit.setExitProcedure(leave);
        Exit.setHaltProcedure(leave);
        PrintStream answer = System.out;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ByteArrayOutputStream said = new ByteArrayOutputStream();
            PrintStream into = new PrintStream(said, true, StandardCharsets.UTF_8);
            System.setOut(into);
            System.setErr(into);
            int status = run(line.split("\t", -1));
            into.flush();
            answer.println(said.toString(StandardCharsets.UTF_8).stripTrailing());
            answer.println("== " + status);
            answer.flush();
        }
        Runtime.getRuntime().halt(0);
    }
}
