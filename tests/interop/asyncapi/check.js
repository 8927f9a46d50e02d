// Whether schemas/asyncapi.yaml is what AsyncAPI's own parser accepts, and true: every topic is a channel, every file
// in schemas/messages is the payload of a message, every example fits its schemas. With a file of records, as worker.py
// leaves it, whether what a real worker sent is what the document says. Mistakes are planted, too, and must be found.
//
//     NODE_PATH=… node check.js [RECORDS]
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { isDeepStrictEqual } = require("node:util");
const { Parser } = require("@asyncapi/parser");
const Ajv2020 = require("ajv/dist/2020").default;
const addFormats = require("ajv-formats").default;

const ROOT = path.resolve(__dirname, "../../..");
const SOURCE = path.join(ROOT, "schemas/asyncapi.yaml");
const DRAFT_2020_12 = "application/schema+json;version=draft-2020-12";
const WARNING = 1;

const read = (file) => fs.readFileSync(path.join(ROOT, file), "utf8");
const readJson = (file) => JSON.parse(read(file));

function validator(schema) {
    return addFormats(new Ajv2020({ allErrors: true, allowUnionTypes: true })).compile(schema);
}

// The parser itself knows draft 7 only; of AsyncAPI 3 it asks nothing but `parse`.
const draft202012 = {
    getMimeTypes: () => [DRAFT_2020_12],
    validate: async () => [],
    parse: async ({ data }) => {
        validator(data);
        return data;
    },
};

// The document with every reference resolved, or what is wrong with it.
async function parse(text) {
    const parser = new Parser();
    parser.registerSchemaParser(draft202012);
    const { document, diagnostics } = await parser.parse(text, { source: SOURCE });
    const errors = diagnostics
        .filter(({ severity }) => severity <= WARNING)
        .map(({ range, path, message }) => `line ${range.start.line + 1}, ${path.join(".")}: ${message}`);
    return { document: document?.json(), errors };
}

// Topic by the name of its setting: REQUESTS, LIFECYCLE, …
function topics() {
    const lines = read("deploy/worker.env.example").matchAll(/^MODEL_FACTORY_KAFKA__TOPICS__(\w+)=(.+)$/gm);
    return new Map(Array.from(lines, ([, setting, topic]) => [setting, topic]));
}

const payloadOf = (message) => message.payload.schema ?? message.payload;

// What the parser put into a schema: it is no part of it.
function bare(schema) {
    return JSON.parse(JSON.stringify(schema, (key, value) => (key.startsWith("x-parser-") ? undefined : value)));
}

function headerNames(schema) {
    return [schema, ...(schema.allOf ?? [])].flatMap(({ properties }) => Object.keys(properties ?? {}));
}

// How these headers and this payload differ from what a message describes.
function misfits(message, headers, payload) {
    const found = [];
    const fits = (what, schema, value) => {
        const check = validator(bare(schema));
        if (!check(value)) found.push(...check.errors.map((error) => `${what}${error.instancePath} ${error.message}`));
    };
    fits("payload", payloadOf(message), payload);
    if (headers !== undefined) {
        const known = headerNames(message.headers ?? {});
        found.push(...Object.keys(headers).filter((name) => !known.includes(name)).map((name) => `header ${name}`));
        fits("headers", message.headers ?? {}, headers);
    }
    return found;
}

const fileOf = (payload) => path.basename(payload.$id ?? "", ".json");

// What stands in the examples of structured CloudEvents is no message that their type names.
function misplaced(messages) {
    const found = [];
    const events = messages.filter(({ contentType }) => contentType === "application/cloudevents+json");
    for (const { name, payload } of events.flatMap(({ examples }) => examples)) {
        const data = payload.data ?? JSON.parse(Buffer.from(payload.data_base64, "base64").toString());
        const kind = payload.type.replace("io.modelfactory.", "");
        const wanted = "payloadType" in data ? "signed_request.v0" : `${kind}.v0`;
        const inner = messages.find((message) => fileOf(payloadOf(message)) === wanted);
        const errors = inner === undefined ? [`no message is ${wanted}`] : misfits(inner, undefined, data);
        found.push(...errors.map((one) => `in the event ${name}: ${one}`));
    }
    if (events.length === 0) found.push("no message is a structured CloudEvent");
    return found;
}

// Where the document and the tree do not agree.
function disagreements(document) {
    const found = [];
    const addresses = Object.values(document.channels).map(({ address }) => address);
    const settings = [...topics().values()];
    if (settings.length < 5) found.push(`deploy/worker.env.example names only ${settings.length} topics`);
    found.push(...settings.filter((topic) => !addresses.includes(topic)).map((topic) => `${topic} is no channel`));
    found.push(...addresses.filter((topic) => !settings.includes(topic)).map((topic) => `${topic} is no topic`));
    for (const { address, bindings } of Object.values(document.channels)) {
        if (bindings.kafka.topic !== address) found.push(`${address} is bound to ${bindings.kafka.topic}`);
    }

    const operated = Object.values(document.operations).flatMap(({ messages }) => messages);
    const messages = Object.values(document.channels).flatMap(({ messages }) => Object.values(messages));
    const payloads = operated.map((message) => bare(payloadOf(message)));
    for (const file of fs.readdirSync(path.join(ROOT, "schemas/messages"))) {
        const schema = readJson(`schemas/messages/${file}`);
        if (!payloads.some((payload) => isDeepStrictEqual(payload, schema))) found.push(`${file} is no payload`);
    }
    for (const message of messages) {
        for (const { name, headers, payload } of message.examples ?? []) {
            const where = `${message.title}, example ${name}`;
            found.push(...misfits(message, headers, payload).map((one) => `${where}: ${one}`));
        }
    }

    found.push(...misplaced(messages));

    const example = document.components.messages.trainBuildRequest.examples[0].payload;
    if (!isDeepStrictEqual(example, readJson("tests/golden/requests/base.json"))) {
        found.push("the first example of a request is not tests/golden/requests/base.json");
    }
    const [, version] = read("Cargo.toml").match(/^version = "(.+)"$/m);
    if (document.info.version !== version) found.push(`info.version is not ${version}, the crate's`);
    return found;
}

async function judge(text) {
    const { document, errors } = await parse(text);
    return { document, errors: errors.length > 0 ? errors : disagreements(document) };
}

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

// The records of a real worker that no message of their channel describes, and the messages that it did not send.
function undescribed(document, records) {
    const channels = Object.values(document.channels);
    const sends = Object.values(document.operations).filter(({ action }) => action === "send");
    const unseen = new Set(sends.flatMap(({ messages }) => messages.map(({ title }) => title)));
    const found = records.flatMap(({ topic, headers, value }) => {
        const { messages } = channels.find(({ address }) => address === topics().get(topic));
        const tried = Object.values(messages).map((message) => {
            const payload = message.payload.schema ? parsed(value) : value;
            const errors = misfits(message, headers, payload);
            if (errors.length === 0) unseen.delete(message.title);
            return errors.map((one) => `${topic}: ${message.title}: ${one}`);
        });
        return tried.some((errors) => errors.length === 0) ? [] : tried.flat();
    });
    return [...found, ...Array.from(unseen, (title) => `no record is: ${title}`)];
}

function missedInRecords(document, [first, ...others]) {
    const { ce_id, ...without } = first.headers;
    const spoilt = [
        [{ ...first, headers: without }, ...others],
        [{ ...first, headers: { ce_id, ...without, ce_more: "x" } }, ...others],
        [{ ...first, value: first.value.replace("event_id", "event_no") }, ...others],
        [first, ...others].filter(({ topic }) => topic !== "PUBLICATIONS"),
    ];
    const missed = spoilt.filter((records) => undescribed(document, records).length === 0);
    return missed.map((records) => `spoilt records passed: ${JSON.stringify(records[0])}`);
}

// Changes of the text, each with the error that it must cause.
const PLANTED = [
    ["./messages/cancel.v0.json", "./messages/cancelled.v0.json", /cancelled\.v0\.json/],
    ["address: mf.dead-letters.v0", "address: mf.dead-letter.v0", /mf\.dead-letters\.v0 is no channel/],
    ["schema: {$ref: ./messages/run_lifecycle.v0.json}", "schema: {type: object}", /run_lifecycle.* is no payload/],
    ["schema: {$ref: ./messages/run_lifecycle.v0.json}", "schema: {type: objet}", /schema is invalid/],
    ["action: receive", "action: recieve", /action/],
    ["event_type: request.admitted", "event_type: request.admited", /example admitted: payload\/event_type/],
    ["type: io.modelfactory.train_build_request", "type: io.modelfactory.cancel", /in the event request: payload/],
    ['data_base64: "eyJz', 'data_base64: "eyJ0', /in the event bytes: payload/],
    ["ce_type: io.modelfactory.cancel", "ce_type: com.example.cancel", /example stop: headers\/ce_type/],
    ["source: https://risk.example/nightly", "Source: https://risk.example/nightly", /example bytes: payload/],
    ["mf_code: MESSAGE_NOT_JSON", "mf_kode: MESSAGE_NOT_JSON", /header mf_kode/],
];

async function missed(text) {
    const found = [];
    for (const [right, wrong, error] of PLANTED) {
        if (!text.includes(right)) throw new Error(`${right} is not there to be spoilt`);
        const { errors } = await judge(text.replaceAll(right, wrong));
        if (!errors.some((one) => error.test(one))) found.push(`${wrong} was not found: ${errors}`);
    }
    return found;
}

async function main(records) {
    const text = fs.readFileSync(SOURCE, "utf8");
    const { document, errors } = await judge(text);
    if (errors.length > 0) throw new Error(errors.join("\n"));
    if (records !== undefined) {
        const sent = JSON.parse(fs.readFileSync(records, "utf8"));
        const strange = [...undescribed(document, sent), ...missedInRecords(document, sent)];
        if (strange.length > 0) throw new Error(strange.join("\n"));
        console.log(`asyncapi: ${sent.length} records of a worker are as the document says`);
        return;
    }
    const unfound = await missed(text);
    if (unfound.length > 0) throw new Error(unfound.join("\n"));
    const channels = Object.keys(document.channels).length;
    console.log(`asyncapi: ${channels} channels are as AsyncAPI wants them; ${PLANTED.length} planted mistakes found`);
}

main(process.argv[2]).catch((error) => {
    console.error(`asyncapi: ${error.message}`);
    process.exitCode = 1;
});
