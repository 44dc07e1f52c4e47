// Snapshots, and the files in them. Names of files are bytes.
import { type Bus, NAME, type Snapshot as Known, options } from "./bus";
import { drivesOf } from "./drives";
import { allowed } from "./permissions";
import { bytesText, fromBase64, toBase64 } from "./text";

/** Where snapshots can be listed: a destination, or the folder beside the source of a backup. */
export interface Place {
    path: string;
    kind: "Destination" | "Backup";
    title: string;
    /** What the command line calls it. */
    id: string;
}

export interface Snap {
    uuid: string;
    name: string;
    backup: string;
    created: number;
    otherMachine: boolean;
    machine: string;
    pinned: boolean;
    leftOver: boolean;
    held: boolean;
    heldReason: string;
}

export interface File {
    name: Uint8Array;
    text: string;
    type: string;
    size: number;
    /** In microseconds since 1970. */
    modified: number;
}

export interface Version extends File {
    snapshot: string;
    created: number;
}

/** The places whose snapshots can be listed now. */
export function placesOf(known: Known): readonly Place[] {
    const destinations = drivesOf(known)
        .filter((drive) => drive.enrolled && drive.state !== "away" && drive.state !== "locked")
        .map((drive): Place => ({ path: drive.path, kind: "Destination", title: drive.title, id: drive.id }));
    const sources = Object.entries(known.objects).flatMap(([path, object]): Place[] => {
        const backup = object[`${NAME}.Backup`];
        if (!backup) return [];
        const name = String(backup.Name);
        return [{ path, kind: "Backup", title: name, id: name }];
    });
    return [...destinations, ...sources];
}

/** Users who may restore as root see every snapshot; others those of their own files. */
export const asRoot = (known: Known): boolean => allowed(known, "restore") === "yes";
const rights = (bus: Bus): Record<string, unknown> => (asRoot(bus.snapshot()) ? { as_root: true } : {});

export async function listSnapshots(bus: Bus, place: Place): Promise<readonly Snap[]> {
    const values = asRoot(bus.snapshot()) ? {} : { own: true };
    const [rows] = (await bus.call(place.path, place.kind, "ListSnapshots", [options(values)], LONG)) as [Record<string, unknown>[]];
    return rows
        .filter((row) => row.nested_path === undefined)
        .map((row) => ({
            uuid: String(row.uuid),
            name: bytesText(fromBase64(String(row.name))),
            backup: String(row.backup ?? ""),
            created: Number(row.created ?? 0),
            otherMachine: row.origin === "other-machine",
            machine: String(row.machine ?? ""),
            pinned: row.pinned === true,
            leftOver: row.left_over === true,
            held: row.held === true,
            heldReason: String(row.held_reason ?? ""),
        }));
}

/** A drive may have to be unlocked and mounted first. */
const LONG = 120_000;
/** How many names are asked for at a time. */
const NAMES = 1000;

/** A page of a directory: the names after `after`. */
export async function listFiles(
    bus: Bus,
    place: Place,
    snapshot: string,
    directory: Uint8Array,
    after?: Uint8Array,
): Promise<{ files: readonly File[]; more: boolean }> {
    const values = { ...rights(bus), limit: NAMES, ...(after ? { after: { t: "ay", v: toBase64(after) } } : {}) };
    const [rows, more] = (await bus.call(
        place.path,
        place.kind,
        "ListFiles",
        [snapshot, toBase64(directory), options(values)],
        LONG,
    )) as [Record<string, unknown>[], boolean];
    return { files: rows.map(fileOf), more };
}

function fileOf(row: Record<string, unknown>): File {
    const name = fromBase64(String(row.name ?? ""));
    return {
        name,
        text: bytesText(name),
        type: String(row.type),
        size: Number(row.size),
        modified: Number(row.modified),
    };
}

/** The snapshots that have another version of a file, the newest first. */
export async function fileVersions(bus: Bus, place: Place, path: Uint8Array): Promise<readonly Version[]> {
    const [rows] = (await bus.call(
        place.path,
        place.kind,
        "FileVersions",
        [toBase64(path), options(rights(bus))],
        LONG,
    )) as [Record<string, unknown>[]];
    return rows.map((row) => ({ ...fileOf({ ...row, name: "" }), snapshot: String(row.snapshot), created: Number(row.created) }));
}

/** Where restored files go: their old place, where they stand beside a file of the name or replace it, or a volume. */
export type Target = "keep-both" | "replace" | { volume: string };

/** Puts files back. Returns the job. */
export async function restoreFiles(
    bus: Bus,
    place: Place,
    snapshot: string,
    paths: readonly Uint8Array[],
    target: Target,
): Promise<string> {
    const where = typeof target === "string" ? { target: "original", conflict: target } : { target: target.volume };
    const [job] = await bus.call(place.path, place.kind, "RestoreFiles", [
        snapshot,
        paths.map(toBase64),
        options({ ...rights(bus), ...where }),
    ]);
    return String(job);
}

/** A path below a directory. */
export function below(directory: Uint8Array, name: Uint8Array): Uint8Array {
    if (directory.length === 0) return name;
    const path = new Uint8Array(directory.length + 1 + name.length);
    path.set(directory);
    path[directory.length] = 47;
    path.set(name, directory.length + 1);
    return path;
}

/** The names of the volumes that can be restored into. */
export const volumesOf = (known: Known): readonly string[] =>
    Object.values(known.objects).flatMap((object) => {
        const volume = object[`${NAME}.Volume`];
        return volume ? [String(volume.Name)] : [];
    });

/** Downloads a file by the browser: the command line prints it, Cockpit passes it on. The job of the kind "read" says whether it was
 *  complete: a transfer that ends early looks to the browser like a short file. */
export function download(place: Place, snapshot: string, path: Uint8Array, root: boolean): void {
    const { transport } = window.cockpit;
    const name = bytesText(path).split("/").pop() ?? "";
    // An argument of Cockpit's is text, and a path is bytes: the shell makes them.
    const octal = [...path].map((byte) => `\\0${byte.toString(8).padStart(3, "0")}`).join("");
    const script = 'path=$(printf "%b." "$3"); exec butterdock cat $4 -- "$1" "$2" "${path%.}"';
    const order = {
        payload: "stream",
        binary: "raw",
        superuser: "try",
        spawn: ["/bin/sh", "-c", script, "butterdock-download", place.id, snapshot, octal, root ? "--as-root" : ""],
        external: {
            "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent(name)}`,
            "content-type": "application/octet-stream",
        },
    };
    const query = btoa(unescape(encodeURIComponent(JSON.stringify(order))));
    const link = document.createElement("a");
    // The first part of the address is the application of Cockpit that this page runs in.
    link.href = `/${window.location.pathname.split("/")[1]}/channel/${transport.csrf_token}?${query}`;
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
}
