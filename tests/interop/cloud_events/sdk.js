// Makes and reads Kafka records with the official JavaScript SDK for CloudEvents. Reads JSON from standard input:
//
//     NODE_PATH=… node sdk.js make   [{mode, attributes, data, base64}]  →  [{headers, value}]
//     NODE_PATH=… node sdk.js read   [{headers, value}]                  →  [event, or null where it is none]
"use strict";

const fs = require("node:fs");
const { CloudEvent, Kafka } = require("cloudevents");

function make({ mode, attributes, data, base64 }) {
    const event = new CloudEvent({ ...attributes, data: base64 ? Buffer.from(JSON.stringify(data)) : data });
    const { headers, value } = Kafka[mode](event);
    // What a client does with a record whose value and headers are no bytes yet.
    const present = Object.entries(headers).filter(([, text]) => text !== undefined);
    return { headers: Object.fromEntries(present), value: typeof value === "string" ? value : JSON.stringify(value) };
}

function read({ headers, value }) {
    const record = { headers, value: Buffer.from(value) };
    if (!Kafka.isEvent(record)) return null;
    const event = Kafka.toEvent(record);
    event.validate();
    return event;
}

const work = { make, read }[process.argv[2]];
process.stdout.write(JSON.stringify(JSON.parse(fs.readFileSync(0, "utf8")).map(work)));
