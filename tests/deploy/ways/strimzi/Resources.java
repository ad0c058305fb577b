import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import java.io.File;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Set;

/** Reads Strimzi's resources of a file with the operator's own classes; tells each field that those do not know. */
public class Resources {
    private static final Map<String, String> FOLDERS =
            Map.of("KafkaConnect", "connect", "KafkaConnector", "connector", "KafkaUser", "user", "KafkaTopic", "topic");
    private static final Set<Object> SEEN = Collections.newSetFromMap(new IdentityHashMap<>());
    private static int unknown;

    public static void main(String[] files) throws Exception {
        ObjectMapper mapper = new ObjectMapper(new YAMLFactory());
        int read = 0;
        for (JsonNode node : mapper.readerFor(JsonNode.class).<JsonNode>readValues(new File(files[0])).readAll()) {
            String kind = node.path("kind").asText();
            if (FOLDERS.containsKey(kind)) {
                Class<?> type = Class.forName("io.strimzi.api.kafka.model." + FOLDERS.get(kind) + "." + kind);
                look(mapper.treeToValue(node, type), kind + "/" + node.at("/metadata/name").asText());
                read++;
            }
        }
        System.out.println(read + " resources, " + unknown + " unknown fields");
    }

    private static void look(Object value, String path) throws Exception {
        if (value instanceof Collection<?> many) {
            int number = 0;
            for (Object each : many) {
                look(each, path + "[" + number++ + "]");
            }
        } else if (value instanceof Map<?, ?> map) {
            for (Map.Entry<?, ?> each : map.entrySet()) {
                look(each.getValue(), path + "." + each.getKey());
            }
        } else if (value != null && value.getClass().getName().startsWith("io.strimzi") && SEEN.add(value)) {
            for (Method method : value.getClass().getMethods()) {
                if (method.getParameterCount() == 0 && method.getName().startsWith("get")) {
                    lookAt(value, method, path);
                }
            }
        }
    }

    private static void lookAt(Object value, Method method, String path) throws Exception {
        Object found;
        try {
            found = method.invoke(value);
        } catch (InvocationTargetException absent) {
            return;
        }
        if (!method.getName().equals("getAdditionalProperties")) {
            look(found, path + "." + method.getName().substring(3));
        } else if (found != null) {
            for (Object key : ((Map<?, ?>) found).keySet()) {
                System.out.println("unknown: " + path + "." + key);
                unknown++;
            }
        }
    }
}
