// The machine of a test: a udevd, a bus, polkitd, butterdockd and cockpit-ws of its own, and drives that are loop devices.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const BIN = process.env.BUTTERDOCK_WEB_TEST;
const POLKITD = ["/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd", "/usr/libexec/polkit-1/polkitd"];
/** Longer than anything takes on a machine under load: only a test that would fail waits for so long. */
export const PATIENCE = Number(process.env.BUTTERDOCK_WEB_PATIENCE ?? 60_000);

/** Whether all rounds and full sizes are asked for. */
export const FULL = !["", "0", undefined].includes(process.env.FULL);

/** Runs a program to its end. Returns what it printed; throws if it fails. */
export function run(program, ...args) {
    const done = spawnSync(program, args, { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`${program} ${args.join(" ")}: ${done.status ?? done.error} ${done.stderr}`);
    return done.stdout;
}

/** Waits until the function returns something true, and returns it. As long as `progress` returns something new, it goes on. */
export async function until(what, ready, progress = () => undefined) {
    let end = Date.now() + PATIENCE;
    let last;
    for (;;) {
        const found = await ready();
        if (found) return found;
        const now = await progress();
        if (now !== last) [last, end] = [now, Date.now() + PATIENCE];
        if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
        await new Promise((next) => setTimeout(next, 50));
    }
}

/** A drive that can be plugged in and unplugged: a file behind a loop device. */
class Drive {
    constructor(image, size) {
        this.image = image;
        fs.closeSync(fs.openSync(image, "w"));
        fs.truncateSync(image, size);
        this.size = size;
    }

    plug() {
        this.device = run("losetup", "--find", "--show", this.image).trim();
        return path.basename(this.device);
    }

    /** Unplugs it while it is in use: the kernel reports that it is gone. Afterwards it is unplugged. */
    pull() {
        fs.writeFileSync(`/sys/class/block/${path.basename(this.device)}/uevent`, "remove");
    }

    unplug() {
        run("losetup", "-d", this.device);
        this.device = undefined;
    }
}

export class Machine {
    #children = [];
    #drives = [];
    #mounts = [];
    #daemon;

    /** Starts everything but the daemon. */
    static async start() {
        const machine = new Machine();
        machine.folder = fs.mkdtempSync(path.join(os.tmpdir(), "butterdock-web-"));
        fs.chmodSync(machine.folder, 0o755);
        process.once("exit", () => machine.#clean());
        for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));
        try {
            await machine.#begin();
        } catch (failure) {
            // What runs already would keep this process.
            machine.#clean();
            throw failure;
        }
        return machine;
    }

    async #begin() {
        this.#accounts();
        this.#package();
        await this.#udev();
        await this.#bus();
        await this.#polkit();
        this.pool = this.volume("pool");
        this.home = path.join(this.pool, "home");
        run("btrfs", "subvolume", "create", this.home);
        this.tank = this.volume("tank");
    }

    path(name) {
        return path.join(this.folder, name);
    }

    /** Starts butterdockd. `settings` is its configuration. */
    async daemon(settings = "") {
        const config = this.path("butterdock.toml");
        if (!fs.existsSync(config)) {
            fs.mkdirSync(this.path("state"));
            const drives = ["blue", "red", "green"].map((name) => `{ loop = "${this.path(`${name}.drive`)}" }`);
            fs.writeFileSync(
                config,
                `# written by a person\n[[volume]]\nname = "tank"\npath = "${this.tank}"\n${settings}\n` +
                    `[drives]\nmatch = [ ${drives.join(", ")} ]\n\n` +
                    `[paths]\nstate = "${this.path("state")}"\nrun = "${this.path("run")}"\n`,
            );
        }
        this.#daemon = this.#start("butterdockd", `${BIN}/butterdockd`, ["serve", "--config", config]);
        await until("butterdockd answers", () => this.butterdock("volumes").status === 0);
    }

    /** Ends the daemon with this signal. */
    async end(signal) {
        const ended = once(this.#daemon, "exit");
        // The child is setpriv, which has become butterdockd.
        this.#daemon.kill(signal);
        await ended;
    }

    /** Runs the command line. */
    butterdock(...args) {
        return spawnSync(`${BIN}/butterdock`, args, { encoding: "utf8", env: this.#environment() });
    }

    /** Begins to run the command line. Its standard input stays open until the test ends it. */
    begin(...args) {
        return spawn("setpriv", ["--pdeathsig", "KILL", `${BIN}/butterdock`, ...args], {
            stdio: ["pipe", "ignore", "ignore"],
            env: this.#environment(),
        });
    }

    /** A volume with btrfs. */
    volume(name) {
        const image = this.path(`${name}.volume`);
        fs.closeSync(fs.openSync(image, "w"));
        fs.truncateSync(image, 4 * 1024 ** 3);
        run("mkfs.btrfs", "-q", image);
        const folder = this.path(name);
        fs.mkdirSync(folder);
        run("mount", "-o", "loop,noatime", image, folder);
        this.#mounts.push(folder);
        return folder;
    }

    /** A drive that is not plugged in yet. Its name is "blue", "red" or "green". */
    drive(name, size = 2 * 1024 ** 3) {
        const drive = new Drive(this.path(`${name}.drive`), size);
        this.#drives.push(drive);
        return drive;
    }

    drives() {
        return this.#drives;
    }

    /** The command lines of the processes that this machine started, now and in the record of the kernel's. */
    commands() {
        return fs
            .readdirSync("/proc")
            .filter((name) => /^\d+$/.test(name))
            .map((pid) => {
                try {
                    return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
                } catch {
                    // It has ended.
                    return "";
                }
            });
    }

    /** Starts a cockpit-ws with a session of this user, without a login. Returns its address, which is for one page: newer versions
     *  end such a session when a second page opens its channels. */
    async cockpit(user = "root") {
        const port = 9090 + this.#children.length;
        const ids = { root: [0, 0, ""], member: [64001, 64001, "64001,64000"], stranger: [64002, 64002, "64002"] }[user];
        const home = this.path(`home-${user}`);
        fs.mkdirSync(home, { recursive: true });
        fs.chownSync(home, ids[0], ids[1]);
        const program = ["/usr/lib/cockpit/cockpit-ws", "/usr/libexec/cockpit-ws"].find((file) => fs.existsSync(file));
        const rights = user === "root" ? [] : ["--reuid", ids[0], "--regid", ids[1], "--groups", ids[2]];
        this.#start(
            `cockpit-${user}`,
            "setpriv",
            [...rights, program, "--no-tls", "--address=127.0.0.1", `--port=${port}`, "--local-session=cockpit-bridge"].map(String),
            { HOME: home, USER: user, LOGNAME: user, XDG_DATA_HOME: this.path("data"), XDG_RUNTIME_DIR: home },
        );
        const address = `http://127.0.0.1:${port}`;
        await until("cockpit-ws answers", () => fetch(`${address}/ping`).then((answer) => answer.ok, () => false));
        return address;
    }

    /** The end of a program's log. */
    log(name) {
        return fs.readFileSync(this.path(`${name}.log`), "utf8");
    }

    async stop() {
        this.#clean();
        process.removeAllListeners("exit");
    }

    #start(name, program, args, environment = {}) {
        const log = fs.openSync(this.path(`${name}.log`), "a");
        // The child ends with this process, whatever ends it.
        const child = spawn("setpriv", ["--pdeathsig", "KILL", program, ...args], {
            stdio: ["ignore", log, log],
            env: { ...this.#environment(), ...environment },
        });
        fs.closeSync(log);
        this.#children.push(child);
        return child;
    }

    #environment() {
        const address = `unix:path=${this.folder}/bus`;
        return {
            PATH: `${BIN}:${process.env.PATH}`,
            // tests/leftovers finds what a run leaves by this.
            ...(process.env.BUTTERDOCK_RUN ? { BUTTERDOCK_RUN: process.env.BUTTERDOCK_RUN } : {}),
            TMPDIR: this.folder,
            // Without these the bridge starts an agent and a bus of its own, which outlive it.
            SSH_AUTH_SOCK: this.path("no-agent"),
            DBUS_SESSION_BUS_ADDRESS: `unix:path=${this.path("no-session")}`,
            LC_ALL: "C.UTF-8",
            LANG: "C.UTF-8",
            BUTTERDOCK_BUS_ADDRESS: address,
            DBUS_SYSTEM_BUS_ADDRESS: address,
        };
    }

    /** The users and groups of the test, over the machine's in this mount namespace. */
    #accounts() {
        for (const [name, lines] of [
            ["passwd", "member:x:64001:64001::/:/bin/sh\nstranger:x:64002:64002::/:/bin/sh\n"],
            ["group", "butterdock:x:64000:member\nmember:x:64001:\nstranger:x:64002:\n"],
        ]) {
            const theirs = fs.readFileSync(`/etc/${name}`, "utf8").split("\n");
            const ours = theirs.filter((line) => !line.startsWith("butterdock:")).join("\n");
            fs.writeFileSync(this.path(name), `${ours.trimEnd()}\n${lines}`);
            run("mount", "--bind", this.path(name), `/etc/${name}`);
            this.#mounts.push(`/etc/${name}`);
        }
    }

    /** The page as a package of Cockpit. */
    #package() {
        fs.mkdirSync(this.path("data/cockpit"), { recursive: true });
        fs.symlinkSync(path.join(ROOT, "web/dist"), this.path("data/cockpit/butterdock"));
        // Newer versions of Cockpit show the page only where the service is installed, which this file tells. (The bus of the test
        // does not read it.)
        const services = this.path("services");
        fs.mkdirSync(services);
        const name = "org.butterdock.Butterdock1.service";
        fs.copyFileSync(path.join(ROOT, "dbus/data", name), path.join(services, name));
        run("mount", "--bind", services, "/usr/share/dbus-1/system-services");
        this.#mounts.push("/usr/share/dbus-1/system-services");
    }

    async #udev() {
        // An earlier test in these namespaces left its socket.
        fs.rmSync("/run/udev", { recursive: true, force: true });
        fs.mkdirSync("/run/udev/rules.d", { recursive: true });
        fs.writeFileSync(
            "/run/udev/rules.d/50-test.rules",
            'SUBSYSTEM=="block", KERNEL=="loop*", ACTION!="remove", IMPORT{builtin}="blkid", OPTIONS+="watch"\n',
        );
        this.#start("udev", "/lib/systemd/systemd-udevd", []);
        await until("udevd answers", () => spawnSync("udevadm", ["control", "--ping"]).status === 0);
    }

    async #bus() {
        const config = this.path("bus.conf");
        fs.writeFileSync(
            config,
            `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
                "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig><type>system</type><listen>unix:path=${this.folder}/bus</listen><auth>EXTERNAL</auth>
            <policy context="default"><allow own="*"/><allow user="*"/><allow send_destination="*"/>
            <allow receive_sender="*"/></policy></busconfig>\n`,
        );
        this.#start("bus", "dbus-daemon", [`--config-file=${config}`, "--nofork", "--nopidfile"]);
        await until("the bus listens", () => fs.existsSync(this.path("bus")));
    }

    async #polkit() {
        for (const [name, source, places] of [
            ["actions", "org.butterdock.Butterdock1.policy", ["/usr/share/polkit-1/actions"]],
            ["rules", "50-butterdock.rules", ["/usr/share/polkit-1/rules.d", "/etc/polkit-1/rules.d"]],
        ]) {
            fs.mkdirSync(this.path(name));
            fs.copyFileSync(path.join(ROOT, "dbus/data", source), path.join(this.path(name), source));
            for (const place of places.filter((place) => fs.existsSync(place))) {
                run("mount", "--bind", this.path(name), place);
                this.#mounts.push(place);
            }
        }
        const program = POLKITD.find((file) => fs.existsSync(file));
        if (!program) throw new Error("polkitd is missing: install the package polkitd");
        this.#start("polkit", program, ["--no-debug"]);
        await until("polkitd answers", () => {
            const names = spawnSync("busctl", ["--list", "--acquired", "list"], { encoding: "utf8", env: this.#environment() });
            return names.stdout.includes("org.freedesktop.PolicyKit1");
        });
    }

    #clean() {
        for (const child of this.#children.reverse()) child.kill("SIGKILL");
        this.#children = [];
        for (const drive of this.#drives) if (drive.device) spawnSync("losetup", ["-d", drive.device]);
        const mounts = fs.readFileSync("/proc/self/mountinfo", "utf8").split("\n").map((line) => line.split(" ")[4] ?? "");
        for (const mount of mounts.filter((mount) => mount.startsWith(`${this.folder}/`)).reverse()) spawnSync("umount", ["-l", mount]);
        for (const mount of this.#mounts.reverse()) spawnSync("umount", ["-l", mount]);
        fs.rmSync(this.folder, { recursive: true, force: true });
    }
}
