// The jobs that have ended.
import { type Bus, ROOT, options } from "./bus";

export interface Entry {
    id: string;
    kind: string;
    trigger: string;
    uid: number;
    start: number;
    end: number;
    result: string;
    received: number;
    place: string;
    backup: string;
    note: string;
    errorName: string;
    errorMessage: string;
}

/** How many are read at a time. */
export const PAGE = 50;

/** A page of the history, the newest first; those before the time, if it is given. */
export async function readHistory(bus: Bus, before?: number): Promise<readonly Entry[]> {
    const values = before === undefined ? { limit: PAGE } : { limit: PAGE, before };
    const [entries] = (await bus.call(ROOT, "Manager", "ListHistory", [options(values)])) as [Record<string, unknown>[]];
    const text = (value: unknown): string => (typeof value === "string" ? value : "");
    return entries.map((entry) => ({
        id: text(entry.id),
        kind: text(entry.kind),
        trigger: text(entry.trigger),
        uid: Number(entry.started_by_uid),
        start: Number(entry.start_time),
        end: Number(entry.end_time),
        result: text(entry.result),
        received: Number(entry.bytes_received),
        place: text(entry.drive_label) || text(entry.volume) || text(entry.destination),
        backup: text(entry.backup),
        note: text(entry.note),
        errorName: text(entry.error_name),
        errorMessage: text(entry.error_message),
    }));
}
