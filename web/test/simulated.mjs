// The page with a simulated host and service, in a server of its own.
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const DIST = path.join(HERE, "../dist");
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json" };

/** Serves the page. Returns its address, and what ends it. */
export async function serve() {
    const server = http.createServer((request, response) => {
        const { pathname } = new URL(request.url, "http://localhost");
        const name = path.basename(pathname);
        const file = pathname === "/base1/cockpit.js" ? path.join(HERE, "simulated_host.js") : path.join(DIST, name);
        const content = fs.existsSync(file) ? fs.readFileSync(file) : name.startsWith("po") ? "" : undefined;
        response.writeHead(content === undefined ? 404 : 200, { "content-type": TYPES[path.extname(name)] ?? "text/plain" });
        response.end(content);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { address: `http://127.0.0.1:${server.address().port}/butterdock/index.html`, stop: () => server.close() };
}

/** A drive with a backup; `lists` are the snapshots, files and history of the simulated service. */
export function service(lists) {
    const NAME = "org.butterdock.Butterdock1";
    const drive = "/org/butterdock/Butterdock1/drives/blue";
    const now = Date.now() * 1000;
    const hour = 3600e6;
    return {
        objects: {
            [drive]: {
                [`${NAME}.Drive`]: { Enrolled: true, State: "mounted", Label: "Blue", Names: ["blue", "Blue"], Problems: [] },
                [`${NAME}.Destination`]: { Name: "Blue", Kind: "drive", State: "mounted", Problems: [], Backups: ["home"] },
            },
        },
        snapshots: Array.from({ length: lists.snapshots }, (_one, at) => ({
            uuid: `00000000-0000-4000-8000-${String(at).padStart(12, "0")}`,
            name: Buffer.from(`home.${at}`).toString("base64"),
            backup: at % 3 === 0 ? "photos" : "home",
            created: now - at * at * hour,
        })),
        files: Array.from({ length: lists.files }, (_one, at) => ({
            name: Buffer.from(`file ${String(at).padStart(6, "0")}`).toString("base64"),
            type: "file",
            size: at * 1000,
            modified: now - at * hour,
        })),
        history: Array.from({ length: lists.history }, (_one, at) => ({
            id: String(at),
            kind: "backup",
            trigger: "plug",
            result: at % 7 === 0 ? "failed" : "succeeded",
            started_by_uid: 0,
            start_time: now - at * hour - 60e6,
            end_time: now - at * hour,
            bytes_received: 1e9,
            drive_label: "Blue",
            backup: "home",
            ...(at % 7 === 0 ? { error_name: `${NAME}.Error.NoSpace`, error_message: "no space" } : {}),
        })),
    };
}
