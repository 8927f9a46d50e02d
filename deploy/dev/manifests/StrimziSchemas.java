import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.introspect.BeanPropertyDefinition;
import io.strimzi.api.kafka.model.topic.KafkaTopic;
import io.strimzi.api.kafka.model.topic.KafkaTopicSpec;
import io.strimzi.api.kafka.model.user.KafkaUser;
import io.strimzi.api.kafka.model.user.KafkaUserSpec;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes JSON Schemas of KafkaTopic and KafkaUser into a folder, read off the classes that Strimzi's operators parse
 * them with: Strimzi publishes these classes, but not the definitions that it generates from them.
 */
class StrimziSchemas {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        write(folder, KafkaTopic.class, KafkaTopicSpec.class);
        write(folder, KafkaUser.class, KafkaUserSpec.class);
    }

    private static void write(Path folder, Class<?> kind, Class<?> spec) throws Exception {
        Map<String, Object> members = new LinkedHashMap<>();
        members.put("apiVersion", Map.of("const", "kafka.strimzi.io/v1"));
        members.put("kind", Map.of("const", kind.getSimpleName()));
        members.put("metadata", Map.of("type", "object"));
        members.put("spec", of(MAPPER.constructType(spec)));
        Map<String, Object> root = object(members, new ArrayList<>(members.keySet()));
        MAPPER.writeValue(folder.resolve(kind.getSimpleName() + ".json").toFile(), root);
    }

    private static Map<String, Object> of(JavaType type) {
        Class<?> raw = type.getRawClass();
        if (raw == Object.class) {
            return Map.of();
        }
        if (raw == String.class) {
            return Map.of("type", "string");
        }
        if (raw == Boolean.class || raw == boolean.class) {
            return Map.of("type", "boolean");
        }
        if (raw == Double.class || raw == double.class) {
            return Map.of("type", "number");
        }
        if (Number.class.isAssignableFrom(raw) || raw == int.class || raw == long.class) {
            return Map.of("type", "integer");
        }
        if (raw.isEnum()) {
            Object[] constants = raw.getEnumConstants();
            return Map.of("enum", Arrays.stream(constants).map(it -> MAPPER.convertValue(it, String.class)).toList());
        }
        if (type.isCollectionLikeType()) {
            return Map.of("type", "array", "items", of(type.getContentType()));
        }
        if (type.isMapLikeType()) {
            return Map.of("type", "object", "additionalProperties", of(type.getContentType()));
        }
        JsonSubTypes kinds = raw.getAnnotation(JsonSubTypes.class);
        return kinds == null ? bean(type) : Map.of("oneOf", Arrays.stream(kinds.value()).map(it -> kind(raw, it)).toList());
    }

    /** One of several shapes, told apart by a member that names it. */
    private static Map<String, Object> kind(Class<?> parent, JsonSubTypes.Type kind) {
        String name = parent.getAnnotation(JsonTypeInfo.class).property();
        Map<String, Object> members = members(MAPPER.constructType(kind.value()));
        members.put(name, Map.of("const", kind.name()));
        return object(members, List.of(name));
    }

    private static Map<String, Object> bean(JavaType type) {
        List<String> required = MAPPER.getDeserializationConfig().introspect(type).findProperties().stream()
            .filter(BeanPropertyDefinition::isRequired).map(BeanPropertyDefinition::getName).toList();
        return object(members(type), required);
    }

    private static Map<String, Object> members(JavaType type) {
        Map<String, Object> members = new LinkedHashMap<>();
        for (BeanPropertyDefinition member : MAPPER.getDeserializationConfig().introspect(type).findProperties()) {
            if (member.couldDeserialize()) {
                members.put(member.getName(), of(member.getPrimaryType()));
            }
        }
        return members;
    }

    private static Map<String, Object> object(Map<String, Object> members, List<String> required) {
        return Map.of("type", "object", "additionalProperties", false, "properties", members, "required", required);
    }
}
