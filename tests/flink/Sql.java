import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;

/** Runs the statements of a file, which `;` at the end of a line ends; prints the rows of each query, tabs between fields. */
public class Sql {
  public static void main(String[] arguments) throws Exception {
    Configuration configuration = new Configuration();
    configuration.setString("execution.runtime-mode", "BATCH");
    configuration.setString("parallelism.default", "1");
    configuration.setString("table.local-time-zone", "UTC");
    TableEnvironment tables =
        TableEnvironment.create(
            EnvironmentSettings.newInstance().withConfiguration(configuration).build());
    for (String statement : Files.readString(Path.of(arguments[0])).split(";\\s*\n")) {
      if (statement.isBlank()) {
        continue;
      }
      TableResult result = tables.executeSql(statement);
      if (statement.stripLeading().toUpperCase().startsWith("SELECT")) {
        try (var rows = result.collect()) {
          print(rows);
        }
      }
    }
  }

  private static void print(Iterator<Row> rows) {
    while (rows.hasNext()) {
      Row row = rows.next();
      List<String> fields = new ArrayList<>();
      for (int index = 0; index < row.getArity(); index++) {
        fields.add(String.valueOf(row.getField(index)));
      }
      System.out.println("row\t" + String.join("\t", fields));
    }
  }
}
