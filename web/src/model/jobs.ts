// Jobs, as the page shows them.
import { NAME, type Snapshot, idOf } from "./bus";
import { duration, rate, size } from "./format";
import { _, filled } from "./text";

export interface Job {
    path: string;
    kind: string;
    state: string;
    unfinished: boolean;
    drive: string;
    destination: string;
    driveLabel: string;
    /** The name of the volume that it writes to; empty without one. */
    volume: string;
    backup: string;
    trigger: string;
    uid: number;
    /** From 0 to 1; undefined while no total is known. */
    progress: number | undefined;
    received: number;
    durable: number;
    total: number;
    rate: number;
    /** The bytes a second that the settings allow; 0 for no limit. */
    maxRate: number;
    expectedEnd: number;
    incremental: boolean;
    note: string;
    cancelable: boolean;
    errorName: string;
    errorMessage: string;
    start: number;
}

/** All jobs on the bus, the running ones first. */
export function jobsOf(snapshot: Snapshot): readonly Job[] {
    const jobs = Object.entries(snapshot.objects).flatMap(([path, interfaces]) => {
        const job = interfaces[`${NAME}.Job`];
        if (!job) return [];
        const state = String(job.State);
        return [
            {
                path,
                kind: String(job.Kind),
                state,
                unfinished: UNFINISHED.includes(state),
                drive: String(job.Drive),
                destination: String(job.Destination),
                driveLabel: String(job.DriveLabel),
                volume: String(job.Volume ?? "/") === "/" ? "" : idOf(String(job.Volume)),
                backup: String(job.BackupName),
                trigger: String(job.Trigger),
                uid: Number(job.StartedByUid),
                progress: job.ProgressValid === true ? Number(job.Progress) : undefined,
                received: Number(job.BytesReceived),
                durable: Number(job.BytesDurable),
                total: Number(job.BytesTotal),
                rate: Number(job.Rate),
                maxRate: Number(job.MaxRate ?? 0),
                expectedEnd: Number(job.ExpectedEndTime),
                incremental: job.Incremental === true,
                note: String(job.Note),
                cancelable: job.Cancelable === true,
                errorName: String(job.ErrorName),
                errorMessage: String(job.ErrorMessage),
                start: Number(job.StartTime),
            },
        ];
    });
    return jobs.sort((a, b) => rank(a) - rank(b) || a.start - b.start);
}

const UNFINISHED = ["queued", "running", "flushing"];
const rank = (job: Job): number => (job.state === "queued" ? 1 : 0);

/** What a job does, in a few words. */
export function jobTitle(kind: string, backup: string): string {
    switch (kind) {
        case "backup":
            return filled(_("Backing up {backup}"), { backup });
        case "receive":
            return _("Receiving a stream");
        case "restore":
            return _("Restoring a snapshot");
        case "restore-files":
            return _("Putting files back");
        case "read":
            return _("Reading a file");
        case "verify":
            return _("Verifying all data");
        case "remove":
            return _("Removing safely");
        case "import":
            return _("Importing streams");
        case "delete":
            return _("Deleting snapshots");
        default:
            return kind;
    }
}

/** How far it is: bytes, rate, time left. */
export function jobDetails(job: Job, now = Date.now()): string {
    if (job.state === "queued") return _("Waiting for its turn");
    const parts: string[] = [];
    if (job.total > 0) {
        parts.push(filled(_("{done} of {total}"), { done: size(Math.min(job.received, job.total)), total: size(job.total) }));
    } else if (job.received > 0) parts.push(size(job.received));
    if (job.state === "flushing") parts.push(_("making it durable"));
    else {
        if (job.rate > 0) parts.push(rate(job.rate));
        if (job.maxRate > 0) parts.push(filled(_("limited to {rate}"), { rate: rate(job.maxRate) }));
        const left = job.expectedEnd / 1e6 - now / 1000;
        if (job.expectedEnd > 0 && left > 0) parts.push(filled(_("{time} left"), { time: duration(left) }));
    }
    return parts.join(" · ");
}
