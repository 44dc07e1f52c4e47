// `make demo WEB=1`: the page with a service, a volume and two drives of its own, at an address of this machine, until Enter.
//
// The machine of the demo is in namespaces of its own, also of the network. This process is outside of them: it passes connections
// on through a socket in the file system.
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

const self = fileURLToPath(import.meta.url);
const [role, argument] = process.argv.slice(2);

/** Connects the two until one of them ends. */
function join(one, other) {
    one.pipe(other).pipe(one);
    one.on("error", () => other.destroy());
    other.on("error", () => one.destroy());
}

async function inside() {
    const { Machine } = await import("./machine.mjs");
    const machine = await Machine.start();
    fs.writeFileSync(path.join(machine.home, "letter"), "A file to back up.\n".repeat(1000));
    await machine.daemon();
    machine.drive("blue").plug();
    machine.drive("red").plug();
    const port = Number(new URL(await machine.cockpit()).port);
    const server = net.createServer((client) => join(client, net.connect(port, "127.0.0.1")));
    server.listen(argument, () => console.log(machine.home));
    process.stdin.resume();
    process.stdin.on("end", async () => {
        await machine.stop();
        process.exit(0);
    });
}

function outside() {
    const folder = fs.mkdtempSync("/tmp/butterdock-demo-");
    const socket = path.join(folder, "page");
    const bin = path.resolve(argument ?? "");
    const command = `ip link set lo up && mount -t tmpfs tmpfs /run && exec node "$0" inside "$1"`;
    const machine = spawn("unshare", ["--mount", "--net", "--propagation", "private", "sh", "-c", command, self, socket], {
        stdio: ["pipe", "pipe", "inherit"],
        env: { ...process.env, BUTTERDOCK_WEB_TEST: bin, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    });
    const server = net.createServer((client) => join(client, net.connect(socket)));
    machine.stdout.once("data", (home) => {
        server.listen(0, "127.0.0.1", () => {
            console.log(`The page is at http://127.0.0.1:${server.address().port}/butterdock`);
            console.log(`Two new drives are plugged in. There is a subvolume to back up: ${String(home).trim()}`);
            console.log("Enter ends the demo and removes everything.");
        });
    });
    process.stdin.once("data", () => machine.stdin.end());
    process.stdin.once("end", () => machine.stdin.end());
    process.once("SIGINT", () => machine.stdin.end());
    machine.once("exit", (status) => {
        fs.rmSync(folder, { recursive: true, force: true });
        process.exit(status ?? 1);
    });
}

if (role === "inside") await inside();
else outside();
