// Drives and other destinations, as the page shows them.
import { type Interfaces, NAME, type Snapshot, idOf } from "./bus";
import { type Job, jobsOf } from "./jobs";
import type { Problem } from "./problems";

export interface Drive {
    path: string;
    /** The service's id: what the command line is given. */
    id: string;
    /** What the configuration may call it: its id and labels. */
    names: readonly string[];
    /** The UUID of its filesystem. */
    uuid: string;
    /** What people call it: label, model or device. */
    title: string;
    /** It is a drive; otherwise a volume of this machine that takes backups. */
    hardware: boolean;
    enrolled: boolean;
    state: string;
    label: string;
    model: string;
    serial: string;
    device: string;
    disk: string;
    diskSize: number;
    size: number;
    free: number;
    filesystem: string;
    encrypted: boolean;
    mountedByOthers: boolean;
    lastSeen: number;
    lastBackup: number;
    nextRun: number;
    /** When it is verified by itself; 0 for never. In the past: as soon as it is attached and free. */
    nextVerify: number;
    overdue: boolean;
    backups: readonly string[];
    problems: readonly Problem[];
    note: string;
    health: { verified?: number; verify_errors?: number; device_errors?: number };
    origins: readonly { origin?: string; machine?: string; snapshots: number; newest?: number }[];
    /** The unfinished jobs that use it, the running one first. */
    jobs: readonly Job[];
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const amount = (value: unknown): number => (typeof value === "number" ? value : 0);
const list = <Item>(value: unknown): readonly Item[] => (Array.isArray(value) ? (value as Item[]) : []);

/** All drives and destinations: attached enrolled ones, then new ones, then those that are away. */
export function drivesOf(snapshot: Snapshot): readonly Drive[] {
    const jobs = jobsOf(snapshot);
    const drives = Object.entries(snapshot.objects).flatMap(([path, interfaces]) => {
        const drive = driveOf(path, interfaces, jobs);
        return drive ? [drive] : [];
    });
    return drives.sort((a, b) => rank(a) - rank(b) || a.title.localeCompare(b.title) || a.path.localeCompare(b.path));
}

const rank = (drive: Drive): number => (drive.state === "away" ? 2 : drive.enrolled ? 0 : 1);

function driveOf(path: string, interfaces: Interfaces, jobs: readonly Job[]): Drive | undefined {
    const hardware = interfaces[`${NAME}.Drive`];
    const destination = interfaces[`${NAME}.Destination`];
    const kind = text(destination?.Kind);
    if (!hardware && kind !== "volume") return undefined;
    const label = text(hardware?.Label) || text(destination?.Name);
    return {
        path,
        id: idOf(path),
        names: list<string>(hardware?.Names),
        uuid: text(hardware?.FilesystemUuid),
        title: label || text(hardware?.Model) || text(hardware?.Device) || idOf(path),
        hardware: hardware !== undefined,
        enrolled: hardware ? hardware.Enrolled === true : true,
        state: text(hardware?.State) || text(destination?.State),
        label,
        model: text(hardware?.Model),
        serial: text(hardware?.Serial),
        device: text(hardware?.Device),
        disk: text(hardware?.Disk),
        diskSize: amount(hardware?.DiskSize),
        size: amount(destination?.Size) || amount(hardware?.Size),
        free: amount(destination?.Free),
        filesystem: text(hardware?.FilesystemType),
        encrypted: hardware?.Encrypted === true,
        mountedByOthers: hardware?.MountedByOthers === true,
        lastSeen: amount(hardware?.LastSeen),
        lastBackup: amount(destination?.LastBackup),
        nextRun: amount(destination?.NextRun),
        nextVerify: amount(destination?.NextVerify),
        overdue: destination?.Overdue === true,
        backups: list<string>(destination?.Backups),
        problems: list<Problem>(destination?.Problems ?? hardware?.Problems),
        note: text(hardware?.Note),
        health: (hardware?.Health ?? {}) as Drive["health"],
        origins: list(destination?.Origins),
        jobs: jobs.filter((job) => job.unfinished && (job.drive === path || job.destination === path)),
    };
}
