// The settings of single destinations: [[destination]] of the configuration. A drive needs none; one with settings of its own has one.
import { type Bus, ROOT, options } from "./bus";
import { butterdock } from "./command";
import type { Drive } from "./drives";
import type { Problem } from "./problems";

export interface DestinationRule {
    name: string;
    kind: "drive" | "volume";
    /** The id or the label of its drive. */
    drive: string;
    /** The folder of a volume. */
    path: string;
    /** keep, unmount or power-off; empty: as for all drives. */
    onFinish: string;
    /** In the words of the configuration. */
    maxRate: readonly string[];
    /** Such as 90d; empty: only on request. */
    verifyEvery: string;
    /** The maker's file has it: it can be switched off, not removed. */
    maker: boolean;
}

/** What can be changed of it. */
export type DestinationChoice = Pick<DestinationRule, "onFinish" | "maxRate" | "verifyEvery">;

/** The destinations in what GetSettings answered. */
export function destinationsIn(
    values: { destination?: Record<string, unknown>[] },
    origins: { destination?: Record<string, unknown>[] },
): readonly DestinationRule[] {
    return (values.destination ?? []).flatMap((table, at): DestinationRule[] =>
        table.enabled === false
            ? []
            : [
                  {
                      name: String(table.name),
                      kind: table.kind === "volume" ? "volume" : "drive",
                      drive: String(table.drive ?? ""),
                      path: String(table.path ?? ""),
                      onFinish: String(table.on_finish ?? ""),
                      maxRate: typeof table.max_rate === "string" ? [table.max_rate] : ((table.max_rate ?? []) as string[]),
                      verifyEvery: String(table.verify_every ?? ""),
                      maker: origins.destination?.[at]?.kind === "maker",
                  },
              ],
    );
}

/** The rule of a drive or volume, if it has one. */
export const ruleOf = (rules: readonly DestinationRule[], drive: Drive): DestinationRule | undefined =>
    rules.find((rule) =>
        drive.hardware
            ? rule.kind === "drive" && (rule.drive === drive.id || drive.names.includes(rule.drive))
            : rule.kind === "volume" && rule.name === drive.title,
    );

/** A name for the rule of a drive: its label, by which backups may know it, if no other rule and no other drive has it. */
export function newName(drive: Drive, drives: readonly Drive[], rules: readonly DestinationRule[]): string {
    const { label, id } = drive;
    const alone = drives.every((other) => other.path === drive.path || other.label !== label);
    const fits = label !== "" && [...label].length <= 64 && !/[/\p{Cc}]|^\s|\s$/u.test(label);
    return fits && alone && rules.every((rule) => rule.name !== label) ? label : id;
}

/** Writes what changed. `drive` is the drive of a rule that does not exist yet. Returns the warnings of the service. */
export async function writeDestination(
    bus: Bus,
    name: string,
    choice: DestinationChoice,
    old: DestinationRule | undefined,
    drive: string,
    revision: string,
): Promise<readonly Problem[]> {
    const values: Record<string, unknown> = old ? {} : { kind: "drive", drive };
    const reset: string[] = [];
    const change = (key: string, now: string | readonly string[], before: string | readonly string[]): void => {
        if (String(now) === String(before)) return;
        if (now.length === 0) reset.push(key);
        else values[key] = typeof now === "string" ? now : [...now];
    };
    change("on_finish", choice.onFinish, old?.onFinish ?? "");
    change("max_rate", choice.maxRate, old?.maxRate ?? []);
    change("verify_every", choice.verifyEvery, old?.verifyEvery ?? "");
    const [, warnings] = await bus.call(ROOT, "Manager", "SetDestination", [
        name,
        options(values),
        options({ revision, create: old === undefined, ...(reset.length > 0 ? { reset } : {}) }),
    ]);
    return warnings as Problem[];
}

/** Makes a folder of this machine a destination. The command line finds out which filesystem is mounted there. */
export async function addFolder(name: string, path: string): Promise<readonly Problem[]> {
    const answer = await butterdock(["destination", "add", `--volume=${path}`, "--", name]);
    const { warnings } = JSON.parse(answer) as { warnings: { code: string; message: string }[] };
    return warnings.map(({ code, message }): Problem => [code, {}, message]);
}

export async function removeDestination(bus: Bus, name: string, revision: string): Promise<void> {
    await bus.call(ROOT, "Manager", "RemoveDestination", [name, options({ revision })]);
}

/** A limit that the page draws with a number and two times. Those of the day are empty if it holds always. */
export interface Limit {
    mebibytes: string;
    from: string;
    to: string;
}

/** The limit in the words of the configuration; undefined for one that is not so simple. */
export function limitOf(maxRate: readonly string[]): Limit | undefined {
    if (maxRate.length === 0) return { mebibytes: "", from: "", to: "" };
    const [entry = "", ...others] = maxRate;
    const [, mebibytes, from = "", to = ""] = /^(\d+) ?MiB\/s(?: (\d\d:\d\d)-(\d\d:\d\d))?$/.exec(entry) ?? [];
    return mebibytes === undefined || others.length > 0 ? undefined : { mebibytes, from, to };
}

export function limitWords({ mebibytes, from, to }: Limit): readonly string[] {
    if (mebibytes === "") return [];
    return [from !== "" && to !== "" ? `${mebibytes}MiB/s ${from}-${to}` : `${mebibytes}MiB/s`];
}
