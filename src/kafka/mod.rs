//! Kafka: librdkafka stays in this room.
