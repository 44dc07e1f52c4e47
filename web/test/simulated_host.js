// In place of Cockpit's cockpit.js: a host with a simulated service, for tests of what the page does with much of everything. It runs
// in the browser. `window.simulated` is the service; a test fills it and lets jobs run.
(() => {
    const NAME = "org.butterdock.Butterdock1";
    const ROOT = "/org/butterdock/Butterdock1";
    const variants = (values) =>
        Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { t: typeof value === "number" ? "t" : "s", v: value }]));
    let signal = () => undefined;
    const simulated = {
        objects: {},
        snapshots: [],
        files: [],
        history: [],
        /** What the page called. */
        calls: [],
        emit: (path, iface, member, args) => signal(path, iface, member, args),

        answer(method, args) {
            const { snapshots, files, history, objects } = simulated;
            const values = Object.fromEntries(Object.entries(args.at(-1) ?? {}).map(([name, value]) => [name, value.v]));
            switch (method) {
                case "GetManagedObjects":
                    return [objects];
                case "GetPermissions":
                    return [Object.fromEntries(["backup", "cancel-own", "cancel-others", "manage", "restore"].map((one) => [one, "yes"]))];
                case "GetSettings":
                    return [{ values: { t: "a{sv}", v: {} }, origins: { t: "a{sv}", v: {} } }, "1"];
                case "ListSnapshots":
                    return [snapshots.map(variants)];
                case "ListFiles": {
                    const from = values.after === undefined ? 0 : files.findIndex(({ name }) => name === values.after) + 1;
                    return [files.slice(from, from + values.limit).map(variants), from + values.limit < files.length];
                }
                case "ListHistory": {
                    const found = history.filter((entry) => values.before === undefined || entry.end_time < values.before);
                    return [found.slice(0, values.limit).map(variants)];
                }
                default:
                    throw { name: `${NAME}.Error.Failed`, message: `${method} is not simulated` };
            }
        },

        /** A job from its first signal to its last, with this many signals of progress. Resolved when the page has drawn it. Properties
         *  of the job can be given, and how it ends. */
        async job(number, steps, properties = {}, result = "succeeded") {
            const path = `${ROOT}/jobs/${number}`;
            const start = {
                Kind: "backup", State: "queued", Drive: `${ROOT}/drives/blue`, Destination: `${ROOT}/drives/blue`, DriveLabel: "Blue",
                Volume: "/", BackupName: "home", Trigger: "user", StartedByUid: 0, StartTime: number, ProgressValid: false, Progress: 0,
                BytesReceived: 0, BytesDurable: 0, BytesTotal: 1e9, Rate: 0, ExpectedEndTime: 0, Incremental: true,
                // Long, so that a job that stays in memory is noticed.
                Note: Array(1000).fill(number).join(" "),
                Cancelable: true, ErrorName: "", ErrorMessage: "", ...properties,
            };
            const change = (values) => simulated.emit(path, "org.freedesktop.DBus.Properties", "PropertiesChanged", [`${NAME}.Job`, values, []]);
            simulated.emit(ROOT, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded", [path, { [`${NAME}.Job`]: start }]);
            for (let step = 1; step <= steps; step += 1) {
                change({ State: "running", ProgressValid: true, Progress: step / steps, BytesReceived: (1e9 * step) / steps, Rate: 1e8 + number });
                await new Promise((next) => setTimeout(next, 0));
            }
            change({ State: result, BytesDurable: 1e9, Cancelable: false });
            simulated.emit(path, `${NAME}.Job`, "Completed", [result, { bytes_durable: { t: "t", v: 1e9 } }]);
            // The service keeps fifty.
            const old = `${ROOT}/jobs/${number - 50}`;
            simulated.emit(ROOT, "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved", [old, [`${NAME}.Job`]]);
        },
    };
    window.simulated = simulated;

    const changed = new Set();
    const place = () => window.location.hash.replace(/^#?\/?/, "").split("/").filter(Boolean);
    window.addEventListener("hashchange", () => {
        cockpit.location.path = place();
        for (const callback of changed) callback();
    });
    const cockpit = {
        language: "en",
        hidden: false,
        location: { path: place(), options: {} },
        transport: { csrf_token: "", control: () => undefined, wait: (ready) => ready() },
        gettext: (text) => text,
        ngettext: (one, many, n) => (n === 1 ? one : many),
        user: async () => ({ id: 0, name: "root", full_name: "" }),
        jump: () => undefined,
        addEventListener: (event, callback) => event === "locationchanged" && changed.add(callback),
        removeEventListener: (_event, callback) => changed.delete(callback),
        dbus: (name) => ({
            call: async (_path, _iface, method, args = []) => {
                simulated.calls.push(method);
                if (simulated.calls.length > 100) simulated.calls.shift();
                return simulated.answer(method, args);
            },
            subscribe: (_match, callback) => {
                if (name === NAME) signal = callback;
                return { remove: () => undefined };
            },
            addEventListener: () => undefined,
            close: () => undefined,
        }),
    };
    window.cockpit = cockpit;
})();
