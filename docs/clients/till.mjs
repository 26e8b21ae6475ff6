#!/usr/bin/env node
// A till's side of the store agent, as small as it can be and still lose nothing. Node 18 or newer, no packages.
//
//     node till.mjs --agent http://127.0.0.1:7070 --token-file till-3.token --outbox outbox.ndjson < documents.ndjson
//
// Each line of the input is one document, as docs/operating/agent.md describes it. A line is first written to the outbox, on disk; from
// then on it is not lost. What is in the outbox is sent, oldest first, again and again until the agent has answered for it; sent twice it
// counts once, because its reference names it. What the agent refuses for good lies in the outbox's neighbour `….refused`, with the reason.

import { closeSync, fsyncSync, fstatSync, openSync, readFileSync, readSync, renameSync, writeSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const ANSWER_WITHIN_MS = 35_000; // the agent says 503 after 30 seconds
const PAUSE_MAX_MS = 30_000;
// Sent again, the same would be refused again.
const REFUSED = [400, 409, 413, 422];

/** One process at a time may use an outbox. */
export class Till {
    constructor(agent, tokenFile, outbox) {
        this.url = agent.replace(/\/+$/, "") + "/v1/movements";
        this.tokenFile = tokenFile;
        this.outbox = outbox;
    }

    /** Takes one document as JSON. When this returns, it is on disk. */
    record(text) {
        JSON.parse(text);
        append(this.outbox, text.trim());
    }

    /** Sends what waits, oldest first, up to the first that gets no answer. Gives how many still wait. */
    async send() {
        const waiting = lines(this.outbox);
        let done = 0;
        while (done < waiting.length && (await this.isAnswered(waiting[done]))) done += 1;
        if (done > 0) replace(this.outbox, waiting.slice(done));
        return waiting.length - done;
    }

    /** False: nobody knows whether it was recorded, so it has to be sent again. */
    async isAnswered(text) {
        const token = readFileSync(this.tokenFile, "utf8").trim();
        const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
        try {
            const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
            const answer = await fetch(this.url, { method: "POST", headers, body: text, signal });
            if (answer.status === 200 || answer.status === 201) return true;
            const reason = await answer.text();
            console.error(`till: ${answer.status}: ${reason}`);
            if (REFUSED.includes(answer.status)) {
                append(`${this.outbox}.refused`, JSON.stringify({ document: text, status: answer.status, reason }));
                return true;
            }
        } catch (error) {
            console.error(`till: ${error.cause ?? error}`);
        }
        return false;
    }
}

/** Adds a line, on disk when this returns. A line that a power cut has torn stays a line of its own. */
function append(path, line) {
    const file = openSync(path, "a+");
    const { size } = fstatSync(file);
    const last = Buffer.alloc(1);
    const torn = size > 0 && readSync(file, last, 0, 1, size - 1) === 1 && last.toString() !== "\n";
    const bytes = Buffer.from((torn ? "\n" : "") + line.replaceAll("\n", " ") + "\n");
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
    closeSync(file);
    if (size === 0) syncFolder(path);
}

function lines(path) {
    try {
        return readFileSync(path, "utf8").split("\n").map((line) => line.trim()).filter(Boolean);
    } catch (error) {
        if (error.code === "ENOENT") return [];
        throw error;
    }
}

/** Whole or not at all: a crash in between costs a sale sent twice, which counts once. */
function replace(path, rest) {
    const file = openSync(`${path}.new`, "w");
    const bytes = Buffer.from(rest.map((line) => line + "\n").join(""));
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
    closeSync(file);
    renameSync(`${path}.new`, path);
    syncFolder(path);
}

/** A new name is on disk once its folder is. */
function syncFolder(path) {
    if (process.platform === "win32") return; // folders can't be opened there
    const folder = openSync(dirname(resolve(path)), "r");
    fsyncSync(folder);
    closeSync(folder);
}

async function main() {
    const options = {
        agent: { type: "string", default: "http://127.0.0.1:7070" },
        "token-file": { type: "string" },
        outbox: { type: "string" },
        once: { type: "boolean", default: false }, // try once; what gets no answer waits for the next call
    };
    const { values: asked } = parseArgs({ options });
    if (!asked["token-file"] || !asked.outbox) throw new Error("needs --token-file and --outbox");
    const till = new Till(asked.agent, asked["token-file"], asked.outbox);
    for (const line of readFileSync(0, "utf8").split("\n")) if (line.trim()) till.record(line);
    for (let pause = 1000; (await till.send()) > 0; pause = Math.min(2 * pause, PAUSE_MAX_MS)) {
        if (asked.once) return 1;
        await sleep(pause);
    }
    return 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.exitCode = await main();
