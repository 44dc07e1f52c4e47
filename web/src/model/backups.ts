// Configured backups, as the page shows and changes them.
import { type Bus, NAME, ROOT, type Snapshot, options } from "./bus";
import { type DestinationRule, destinationsIn } from "./destinations";
import type { Drive } from "./drives";
import type { Problem } from "./problems";
import { _, filled } from "./text";

export interface Backup {
    path: string;
    name: string;
    enabled: boolean;
    destinations: readonly string[];
    schedule: readonly string[];
    due: boolean;
    overdue: boolean;
    nextRun: number;
    /** By destination: when it last succeeded there. */
    lastGood: Readonly<Record<string, number>>;
    problems: readonly Problem[];
    leftOut: number;
    sourceSnapshots: number;
    sourceFreeable: number;
}

export function backupsOf(snapshot: Snapshot): readonly Backup[] {
    const backups = Object.entries(snapshot.objects).flatMap(([path, interfaces]) => {
        const backup = interfaces[`${NAME}.Backup`];
        if (!backup) return [];
        return [
            {
                path,
                name: String(backup.Name),
                enabled: backup.Enabled === true,
                destinations: (backup.Destinations ?? []) as string[],
                schedule: (backup.Schedule ?? []) as string[],
                due: backup.Due === true,
                overdue: backup.Overdue === true,
                nextRun: Number(backup.NextRun),
                lastGood: (backup.LastGood ?? {}) as Record<string, number>,
                problems: (backup.Problems ?? []) as Problem[],
                leftOut: Number(backup.LeftOut),
                sourceSnapshots: Number(backup.SourceSnapshots),
                sourceFreeable: Number(backup.SourceFreeable),
            },
        ];
    });
    return backups.sort((a, b) => a.name.localeCompare(b.name));
}

const DAYS: Record<string, () => string> = {
    mon: () => _("Monday"),
    tue: () => _("Tuesday"),
    wed: () => _("Wednesday"),
    thu: () => _("Thursday"),
    fri: () => _("Friday"),
    sat: () => _("Saturday"),
    sun: () => _("Sunday"),
};

/** The words of a schedule. A word that this page does not know is shown as it is. */
export function scheduleText(schedule: readonly string[]): string {
    return schedule.map(entryText).join(", ");
}

function entryText(entry: string): string {
    const [word = "", first = "", second = ""] = entry.split(" ");
    switch (word) {
        case "on-plug":
            return _("when the drive is plugged in");
        case "manual":
            return _("only when you start it");
        case "hourly":
            return _("each hour");
        case "every":
            return filled(_("every {time}"), { time: first });
        case "daily":
            return filled(_("daily at {time}"), { time: first });
        case "weekly":
            return filled(_("each {day} at {time}"), { day: DAYS[first]?.() ?? first, time: second });
        case "monthly":
            return filled(_("monthly on day {day} at {time}"), { day: first, time: second });
        default:
            return entry;
    }
}

export const PERIODS = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;
export type Keep = Readonly<Record<(typeof PERIODS)[number], number>>;

/** What the service keeps where nothing is configured. */
export const KEEP: Keep = { last: 3, hourly: 0, daily: 14, weekly: 8, monthly: 12, yearly: 5 };

/** How much the next run would send to a destination, at most. */
export interface Estimate {
    backup: string;
    /** The id of the drive. */
    drive: string;
    bytes: number;
    incremental: boolean;
}

/** Estimates all backups. The service reads what changed in every source, which may take minutes. */
export async function estimates(bus: Bus): Promise<readonly Estimate[]> {
    const [rows] = (await bus.call(ROOT, "Manager", "ListBackups", [options({ estimate: true })], 600_000)) as [
        Record<string, unknown>[],
    ];
    return rows
        .filter((row) => typeof row.estimate === "number")
        .map((row) => ({
            backup: String(row.name),
            drive: String(row.drive ?? ""),
            bytes: Number(row.estimate),
            incremental: row.incremental === true,
        }));
}

/** What a user should know although the backups can run: each code of ListBackups once, with the service's English sentence. */
export async function warnings(bus: Bus): Promise<ReadonlyMap<string, string>> {
    const [rows] = (await bus.call(ROOT, "Manager", "ListBackups", [options({})])) as [Record<string, unknown>[]];
    return new Map(rows.flatMap((row) => (row.warnings ?? []) as [code: string, english: string][]));
}

/** Confirms that the clock is right: old snapshots are deleted by the rules again. */
export async function trustClock(bus: Bus): Promise<void> {
    await bus.call(ROOT, "Manager", "TrustClock", [options({})]);
}

/** What a person can change of a backup. */
export interface Rule {
    name: string;
    source: string;
    to: readonly string[];
    schedule: readonly string[];
    keep: Keep;
    nested: boolean;
    enabled: boolean;
}

/** The rules of the configuration, the destinations that have settings of their own, and its revision. */
export async function readRules(
    bus: Bus,
): Promise<{ rules: readonly Rule[]; destinations: readonly DestinationRule[]; revision: string }> {
    type Tables = Record<"backup" | "destination", Record<string, unknown>[]>;
    const [settings, revision] = (await bus.call(ROOT, "Manager", "GetSettings", [options({})])) as [
        { values: Partial<Tables>; origins: Partial<Tables> },
        string,
    ];
    const rules = (settings.values.backup ?? []).map((table) => ({
        name: String(table.name),
        source: String(table.source ?? ""),
        to: (table.to ?? table.drives ?? []) as string[],
        schedule: typeof table.schedule === "string" ? [table.schedule] : ((table.schedule ?? []) as string[]),
        keep: { ...KEEP, ...((table.keep ?? {}) as Partial<Keep>) },
        nested: table.nested === "include",
        enabled: table.enabled !== false,
    }));
    return { rules, destinations: destinationsIn(settings.values, settings.origins), revision };
}

/** Writes a rule. Only what differs from the old one is changed in the file. Returns the warnings of the service. */
export async function writeRule(bus: Bus, rule: Rule, old: Rule | undefined, revision: string): Promise<readonly Problem[]> {
    const values: Record<string, unknown> = {};
    const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
    if (rule.source !== old?.source) values.source = rule.source;
    if (!same(rule.to, old?.to)) values.to = [...rule.to];
    if (!same(rule.schedule, old?.schedule ?? ["on-plug"])) values.schedule = [...rule.schedule];
    if (!same(rule.keep, old?.keep ?? KEEP)) {
        const numbers = Object.entries(rule.keep).map(([period, count]) => [period, { t: "x", v: count }]);
        values.keep = { t: "a{sv}", v: Object.fromEntries(numbers) };
    }
    if (rule.nested !== (old?.nested ?? false)) values.nested = rule.nested ? "include" : "ignore";
    if (rule.enabled !== (old?.enabled ?? true)) values.enabled = rule.enabled;
    const [, warnings] = await bus.call(ROOT, "Manager", "SetBackup", [
        rule.name,
        options(values),
        // Its snapshots and its history go with the new name.
        options({ revision, ...(old && old.name !== rule.name ? { rename_from: old.name } : { create: old === undefined }) }),
    ]);
    return warnings as Problem[];
}

/** What the configuration calls a destination: its label if no other one has it, else its id. */
export function destinationName(drive: Drive, drives: readonly Drive[]): string {
    const alone = drives.filter((other) => other.label === drive.label).length === 1;
    return drive.label !== "" && alone ? drive.label : drive.id;
}

/** The snapshots that a rule keeps of a backup that runs daily (and hourly, if the rule keeps such), by their age in days. */
export function kept(keep: Keep): readonly number[] {
    const hours: number[] = [];
    for (let hour = 0; keep.hourly > 0 && hour < 24 * 14; hour += 1) hours.push(hour / 24);
    const candidates = [...new Set([...hours, ...Array.from({ length: 365 * 12 }, (_day, day) => day)])].sort((a, b) => a - b);
    const found = new Set(candidates.slice(0, keep.last));
    // Of each of the newest periods the newest snapshot stays.
    for (const [count, days] of [
        [keep.hourly, 1 / 24],
        [keep.daily, 1],
        [keep.weekly, 7],
        [keep.monthly, 30.44],
        [keep.yearly, 365.25],
    ] as const) {
        const periods = new Set<number>();
        for (const age of candidates) {
            const period = Math.floor(age / days + 1e-6);
            if (periods.size >= count) break;
            if (!periods.has(period)) {
                periods.add(period);
                found.add(age);
            }
        }
    }
    return [...found].sort((a, b) => a - b);
}
