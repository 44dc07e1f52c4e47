// Streams of `btrfs send`: files on a drive that are imported, and a file of the user's computer that is uploaded.
import { type Bus, NAME, ROOT, type Snapshot, options } from "./bus";
import { errorIn } from "./command";
import type { Drive } from "./drives";
import { bytesText, fromBase64, toBase64 } from "./text";

export interface StreamFile {
    name: Uint8Array;
    text: string;
    size: number;
    subvolume: string;
    /** It needs another subvolume, which another stream has. */
    increment: boolean;
    /** Why it cannot be received, in English; empty if it can. */
    problem: string;
}

/** The stream files on a drive, those that others need first. */
export async function listStreams(bus: Bus, drive: string): Promise<readonly StreamFile[]> {
    // The drive may have to be mounted first.
    const [rows] = (await bus.call(drive, "Drive", "ListStreams", [options({})], 120_000)) as [Record<string, unknown>[]];
    return rows.map((row) => {
        const name = fromBase64(String(row.name));
        return {
            name,
            text: bytesText(name),
            size: Number(row.size),
            subvolume: bytesText(fromBase64(String(row.subvolume ?? ""))),
            increment: row.parent_uuid !== undefined,
            problem: String(row.problem ?? ""),
        };
    });
}

/** Imports the file of this name, or all files. Returns the job. */
export async function importStreams(bus: Bus, drive: string, volume: string, name?: Uint8Array): Promise<string> {
    const values = name === undefined ? {} : { name: { t: "ay", v: toBase64(name) } };
    const [job] = await bus.call(drive, "Drive", "Import", [volume, options(values)]);
    return String(job);
}

/** What the configuration calls the drives with stream files. */
export async function importDrives(bus: Bus): Promise<readonly string[]> {
    const [settings] = (await bus.call(ROOT, "Manager", "GetSettings", [options({})])) as [
        { values: { import?: { drive: string; enabled?: boolean }[] } },
    ];
    return (settings.values.import ?? []).filter(({ enabled }) => enabled !== false).map(({ drive }) => drive);
}

/** Whether the configuration names the drive: an enrolled one by its id or label, another by the UUID of its filesystem. */
export const hasStreams = (drive: Drive, named: readonly string[]): boolean =>
    named.some((name) => (drive.enrolled ? name === drive.id || drive.names.includes(name) : name === drive.uuid));

/** An upload that has begun. */
export interface Upload {
    /** Fulfilled when the stream is received and durable. Rejected with a cockpit.Failure. */
    ended: Promise<void>;
    /** Gives up: the service removes what has arrived. */
    stop(): void;
}

/** How much of the file may be on its way. The service counts what it has read up to four times a second, so that this is also the
 *  most per quarter of a second; and all of it may be in the memory of the host. */
const WINDOW = 32 * 1024 ** 2;
const PIECE = 64 * 1024;

/** Sends a file to `butterdock receive`. What the service has read is the acknowledgement: a host acknowledges nothing before Cockpit
 *  318, and later what it has in memory, however slow the volume is. `progress` gets the bytes that the service has read. */
export function upload(bus: Bus, file: Blob, volume: string, progress: (read: number) => void): Upload {
    const channel = window.cockpit.channel({
        payload: "stream",
        binary: true,
        spawn: ["butterdock", "receive", "--json", "--", volume],
        superuser: "try",
        err: "message",
    });
    let [sent, read, sending, open] = [0, 0, false, true];
    let started: string | undefined;
    const send = async (): Promise<void> => {
        if (sending) return;
        sending = true;
        while (open && sent < file.size && sent - read < WINDOW) {
            const piece = await file.slice(sent, sent + PIECE).arrayBuffer();
            if (!open) return;
            channel.send(piece);
            sent += piece.byteLength;
            if (sent === file.size) channel.control({ command: "done" });
        }
        sending = false;
    };
    const ended = new Promise<void>((resolve, reject) => {
        let failure: cockpit.Failure | undefined;
        let succeeded = false;
        // Without the rest of the file, or with output that is no JSON, the service would wait for a stream that never ends.
        const failed = (why: unknown): void => {
            reject(why);
            stop();
        };
        const take = (line: string): void => {
            failure ??= errorIn(line);
            const { event, job, result } = JSON.parse(line) as {
                event?: string;
                job?: { id: string; bytes_received: number };
                result?: string;
            };
            if (event === "ended") succeeded = result === "succeeded";
            if (job === undefined) return;
            started = `${ROOT}/jobs/${job.id.replaceAll("-", "_")}`;
            read = job.bytes_received;
            progress(read);
            void send().catch(failed);
        };
        const decoder = new TextDecoder();
        let rest = "";
        channel.addEventListener("message", (_event, data) => {
            rest += typeof data === "string" ? data : decoder.decode(data, { stream: true });
            const lines = rest.split("\n");
            rest = lines.pop() ?? "";
            try {
                for (const line of lines.filter((one) => one !== "")) take(line);
            } catch (why) {
                failed(why);
            }
        });
        channel.addEventListener("close", (_event, end) => {
            open = false;
            if (succeeded) resolve();
            else reject(failure ?? { message: end.message ?? "", problem: end.problem ?? null });
        });
        if (file.size === 0) channel.control({ command: "done" });
        else void send().catch(failed);
    });
    const stop = (): void => {
        // One that waits for its turn would do so without its stream.
        if (started !== undefined && open) bus.call(started, "Job", "Cancel", [options({})]).catch(() => undefined);
        channel.close("cancelled");
    };
    return { ended, stop };
}

/** The volumes that streams can be received into now. */
export const mountedVolumes = (known: Snapshot): readonly string[] =>
    Object.values(known.objects).flatMap((object) => {
        const volume = object[`${NAME}.Volume`];
        return volume?.Mounted === true ? [String(volume.Name)] : [];
    });
