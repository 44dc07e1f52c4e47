// The objects of butterdockd, as its ObjectManager and its signals tell them. No React: other pages can use it too.

export const NAME = "org.butterdock.Butterdock1";
export const ROOT = "/org/butterdock/Butterdock1";
const BUS_DAEMON = "org.freedesktop.DBus";

export type Properties = Readonly<Record<string, unknown>>;
export type Interfaces = Readonly<Record<string, Properties>>;

/** What is known of the service at one moment. It is never changed: each change makes a new one. */
export interface Snapshot {
    /** connecting: not known yet; running; absent: no such service, it does not start, or it has ended. */
    readonly service: "connecting" | "running" | "absent";
    /** Why the service is absent, in the words of the bus. */
    readonly reason: string;
    readonly objects: Readonly<Record<string, Interfaces>>;
    /** By action: yes, challenge or no. */
    readonly permissions: Readonly<Record<string, string>>;
    /** The last jobs that ended while this page was open, the newest last: path and result. */
    readonly ended: readonly { path: string; result: string; message: string }[];
}

const START: Snapshot = { service: "connecting", reason: "", objects: {}, permissions: {}, ended: [] };
/** How many ends of jobs are kept: as many as the service keeps jobs. */
const ENDS = 50;

/** The value of a D-Bus variant in the form of cockpit.js, {t, v}, with the variants in it. */
export function plain(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== "object" || value === null) return value;
    const fields = value as Record<string, unknown>;
    if (typeof fields.t === "string" && "v" in fields && Object.keys(fields).length === 2) return plain(fields.v);
    return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, plain(field)]));
}

/** A connection to the service that follows its objects. */
export class Bus {
    readonly #busDaemon: cockpit.DBusClient;
    #client!: cockpit.DBusClient;
    #closed = true;
    /** The last owner of the name for which a closed connection was made anew: one attempt for each. */
    #tried = "";
    #snapshot = START;
    #listeners = new Set<() => void>();
    #announced = false;

    constructor() {
        // Newer hosts close the connection to a name without an owner for good: the bus itself tells when the service comes.
        this.#busDaemon = window.cockpit.dbus(BUS_DAEMON, { bus: "system" });
        const match = { interface: BUS_DAEMON, member: "NameOwnerChanged", arg0: NAME };
        this.#busDaemon.subscribe(match, (_path, _iface, _signal, [, , owner]) => this.#reconnect(String(owner)));
        this.#connect();
    }

    #connect(): void {
        const client = window.cockpit.dbus(NAME, { bus: "system", superuser: "try" });
        this.#client = client;
        this.#closed = false;
        // Signals that arrive before the answer of GetManagedObjects are part of that answer.
        client.subscribe({ path_namespace: ROOT }, (path, iface, signal, args) => this.#signal(path, iface, signal, args));
        client.addEventListener("owner", (_event, owner) => {
            if (owner) void this.#load();
            else this.#absent("");
        });
        client.addEventListener("close", (_event, failure) => {
            this.#closed = true;
            this.#absent(failure?.message ?? "");
            void this.#returned();
        });
        void this.#load();
    }

    /** After a quick restart the bus may tell the new owner before the connection to the old one is closed. */
    async #returned(): Promise<void> {
        try {
            const [owner] = await this.#busDaemon.call("/org/freedesktop/DBus", BUS_DAEMON, "GetNameOwner", [NAME]);
            this.#reconnect(String(owner));
        } catch {
            // The service does not run. The bus tells when it does.
        }
    }

    #reconnect(owner: string): void {
        if (owner === "" || !this.#closed || owner === this.#tried) return;
        this.#tried = owner;
        this.#connect();
    }

    readonly snapshot = (): Snapshot => this.#snapshot;

    /** Calls the listener after each change. Returns a function that ends that. */
    readonly subscribe = (listener: () => void): (() => void) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    };

    /** Calls a method. Options of the method are variants: see `options`. Rejects with a cockpit.Failure. */
    async call(path: string, iface: string, method: string, args: unknown[] = [], timeout?: number): Promise<unknown[]> {
        try {
            const answer = await this.#client.call(
                path,
                iface.includes(".") ? iface : `${NAME}.${iface}`,
                method,
                args,
                timeout === undefined ? {} : { timeout },
            );
            return answer.map(plain);
        } catch (failure) {
            if ((failure as cockpit.Failure).name?.endsWith(".NotAuthorized")) void this.refreshPermissions();
            throw failure;
        }
    }

    /** Asks again what this user may do. */
    async refreshPermissions(): Promise<void> {
        try {
            const [permissions] = await this.call(ROOT, "Manager", "GetPermissions", [{}]);
            this.#set({ permissions: permissions as Record<string, string> });
        } catch {
            // Without an answer nothing is allowed, and the service says so at each call.
            this.#set({ permissions: {} });
        }
    }

    /** Starts the service if it does not run, by D-Bus activation. Not by itself: an administrator may have stopped it. */
    start(): void {
        this.#set({ service: "connecting" });
        if (this.#closed) this.#connect();
        else void this.#load();
    }

    async #load(): Promise<void> {
        try {
            const [objects] = await this.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects");
            this.#set({ service: "running", reason: "", objects: objects as Record<string, Interfaces> });
            await this.refreshPermissions();
        } catch (failure) {
            this.#absent((failure as cockpit.Failure).message ?? "");
        }
    }

    /** Without the service nothing that was known of it holds: above all no job. */
    #absent(reason: string): void {
        this.#set({ service: "absent", reason, objects: {}, permissions: {} });
    }

    #signal(path: string, iface: string, signal: string, args: unknown[]): void {
        if (this.#snapshot.service !== "running") return;
        const objects = this.#snapshot.objects;
        if (signal === "InterfacesAdded") {
            const [added, interfaces] = args as [string, unknown];
            const old = objects[added] ?? {};
            this.#set({ objects: { ...objects, [added]: { ...old, ...(plain(interfaces) as Interfaces) } } });
        } else if (signal === "InterfacesRemoved") {
            const [removed, names] = args as [string, string[]];
            const rest = Object.entries(objects[removed] ?? {}).filter(([name]) => !names.includes(name));
            const { [removed]: _old, ...others } = objects;
            this.#set({ objects: rest.length > 0 ? { ...others, [removed]: Object.fromEntries(rest) } : others });
        } else if (signal === "PropertiesChanged") {
            const [changed, values] = args as [string, unknown];
            const old = objects[path];
            if (!old?.[changed]) return;
            const properties = { ...old[changed], ...(plain(values) as Properties) };
            this.#set({ objects: { ...objects, [path]: { ...old, [changed]: properties } } });
        } else if (signal === "Completed" && iface === `${NAME}.Job`) {
            const [result, details] = plain(args) as [string, Record<string, unknown>];
            const end = { path, result, message: String(details.error_message ?? "") };
            this.#set({ ended: [...this.#snapshot.ended, end].slice(-ENDS) });
        }
    }

    #set(change: Partial<Snapshot>): void {
        this.#snapshot = { ...this.#snapshot, ...change };
        // Signals that arrive together are one change for those who listen.
        if (this.#announced) return;
        this.#announced = true;
        queueMicrotask(() => {
            this.#announced = false;
            for (const listener of this.#listeners) listener();
        });
    }
}

/** The last part of an object's path, without its escapes: the id of a drive, the name of a backup. */
export function idOf(path: string): string {
    const bytes: number[] = [];
    const last = path.slice(path.lastIndexOf("/") + 1);
    for (let at = 0; at < last.length; at += 1) {
        if (last[at] === "_") {
            bytes.push(Number.parseInt(last.slice(at + 1, at + 3), 16));
            at += 2;
        } else bytes.push(last.charCodeAt(at));
    }
    return new TextDecoder().decode(Uint8Array.from(bytes));
}

/** Options of a method as variants. A boolean is b, a text s, a whole number t, a list of texts as; others are given as {t, v}. */
export function options(values: Record<string, unknown>): Record<string, { t: string; v: unknown }> {
    const variants: Record<string, { t: string; v: unknown }> = {};
    for (const [name, value] of Object.entries(values)) {
        if (typeof value === "boolean") variants[name] = { t: "b", v: value };
        else if (typeof value === "string") variants[name] = { t: "s", v: value };
        else if (typeof value === "number") variants[name] = { t: "t", v: value };
        else if (Array.isArray(value)) variants[name] = { t: "as", v: value };
        else if (value !== undefined) variants[name] = value as { t: string; v: unknown };
    }
    return variants;
}
