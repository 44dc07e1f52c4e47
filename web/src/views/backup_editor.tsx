// Makes or changes a backup: source, destinations, schedule, retention.
import { useEffect, useState } from "react";
import { type Backup, KEEP, type Rule, destinationName, readRules, scheduleText, writeRule } from "../model/backups";
import { NAME, ROOT, options } from "../model/bus";
import { type DestinationRule, ruleOf } from "../model/destinations";
import { drivesOf } from "../model/drives";
import { type Problem, errorText } from "../model/problems";
import { _, filled } from "../model/text";
import { Dialog, Problems } from "./parts";
import { Alert, Checkbox, FormGroup, FormSelect, FormSelectOption, Spinner, TextInput } from "./patternfly";
import { Retention } from "./retention";
import { useAction, useBus, useSnapshot } from "./store";

/** `backup` is the one to change; without it a new one is made, to the destination `to` if it is given. */
export function BackupEditor({ backup, to, onClose }: { backup?: Backup; to?: string; onClose(): void }) {
    const bus = useBus();
    const [read, setRead] = useState<{
        rule: Rule | undefined;
        taken: readonly string[];
        destinations: readonly DestinationRule[];
        revision: string;
    }>();
    const [error, setError] = useState("");
    useEffect(() => {
        readRules(bus).then(
            ({ rules, destinations, revision }) =>
                setRead({
                    rule: rules.find(({ name }) => name === backup?.name),
                    taken: rules.map(({ name }) => name),
                    destinations,
                    revision,
                }),
            (failure: unknown) => setError(errorText(failure)),
        );
    }, [bus, backup?.name]);
    if (!read) {
        return (
            <Dialog title={_("Settings")} verb={_("Save")} ready={false} error={error} onClose={onClose} onSubmit={onClose}>
                {error === "" && <Spinner aria-label={_("Reading the settings")} />}
            </Dialog>
        );
    }
    const { rule, ...others } = read;
    return <Editor old={rule} {...others} to={to} onClose={onClose} />;
}

const SCHEDULES = ["on-plug", "hourly", "daily", "weekly", "monthly", "manual"];

function Editor(props: {
    old: Rule | undefined;
    taken: readonly string[];
    destinations: readonly DestinationRule[];
    revision: string;
    to: string | undefined;
    onClose(): void;
}) {
    const { old, taken, destinations, revision, to, onClose } = props;
    const bus = useBus();
    const snapshot = useSnapshot();
    const action = useAction();
    const [rule, setRule] = useState<Rule>(
        old ?? { name: "", source: "/home", to: to === undefined ? [] : [to], schedule: ["on-plug"], keep: KEEP, nested: true, enabled: true },
    );
    const [named, setNamed] = useState(old !== undefined);
    const [now, setNow] = useState(old === undefined);
    const [time, setTime] = useState("02:00");
    const [warnings, setWarnings] = useState<readonly Problem[]>();
    const drives = drivesOf(snapshot).filter((drive) => drive.enrolled);
    const change = (changes: Partial<Rule>): void => setRule({ ...rule, ...changes });
    const word = rule.schedule.length === 1 ? (rule.schedule[0]?.split(" ")[0] ?? "") : "custom";
    const known = SCHEDULES.includes(word) ? word : "custom";
    // The source names a new backup until its name is typed.
    const name = named ? rule.name : nameOf(rule.source);
    const nameTaken = name !== old?.name && taken.includes(name);
    const ready = name !== "" && !nameTaken && rule.source.startsWith("/") && rule.to.length > 0 && rule.schedule.length > 0;

    const schedule = (kind: string, at: string): void => {
        const entries: Record<string, string> = {
            daily: `daily ${at}`,
            weekly: `weekly sun ${at}`,
            monthly: `monthly 1 ${at}`,
        };
        change({ schedule: [entries[kind] ?? kind] });
    };
    const submit = async (): Promise<void> => {
        let told: readonly Problem[] = [];
        const done = await action.run(async () => {
            told = await writeRule(bus, { ...rule, name }, old, revision);
            const path = Object.entries(bus.snapshot().objects).find(([, object]) => object[`${NAME}.Backup`]?.Name === name)?.[0];
            if (now && told.length === 0) {
                await bus.call(path ?? `${ROOT}/backups/${name}`, "Backup", "Run", [options({})]);
            }
        });
        if (!done) return;
        if (told.length > 0) setWarnings(told);
        else onClose();
    };

    if (warnings) {
        return (
            <Dialog title={filled(_("The backup {name} is saved"), { name })} verb={_("Close")} onClose={onClose} onSubmit={onClose}>
                <Problems problems={warnings} />
            </Dialog>
        );
    }
    return (
        <Dialog
            title={old ? filled(_("Settings of {name}"), { name }) : _("New backup")}
            verb={old ? _("Save") : now ? _("Create and back up") : _("Create")}
            ready={ready}
            busy={action.busy}
            error={action.error}
            wide
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <FormGroup label={_("What to back up")} fieldId="source" isRequired>
                <TextInput
                    id="source"
                    value={rule.source}
                    placeholder="/home"
                    spellCheck={false}
                    onChange={(_event, source) => change({ source })}
                />
                <div className="bd-quiet">{_("The folder of a btrfs subvolume, such as /home or /srv/photos.")}</div>
            </FormGroup>
            <FormGroup label={_("Name of the backup")} fieldId="name" isRequired>
                <TextInput
                    id="name"
                    value={name}
                    validated={nameTaken ? "error" : "default"}
                    onChange={(_event, text) => {
                        setNamed(true);
                        change({ name: text });
                    }}
                />
                {old && name !== old.name && !nameTaken && (
                    <div className="bd-quiet">{_("Its snapshots and its history go with the new name.")}</div>
                )}
                {nameTaken && <div className="bd-quiet">{_("There is a backup of this name already.")}</div>}
            </FormGroup>
            <FormGroup role="group" label={_("Where to")} fieldId="to">
                {drives.length === 0 && <Alert component="p" variant="info" isInline isPlain title={_("Enrol a drive first.")} />}
                {drives.map((drive) => {
                    const called = destinationName(drive, drives);
                    const ways = [called, drive.id, drive.label, ruleOf(destinations, drive)?.name];
                    return (
                        <Checkbox
                            key={drive.path}
                            id={`to-${drive.id}`}
                            label={drive.title}
                            isChecked={rule.to.some((one) => ways.includes(one))}
                            onChange={(_event, on) =>
                                change({ to: on ? [...rule.to, called] : rule.to.filter((one) => !ways.includes(one)) })
                            }
                        />
                    );
                })}
            </FormGroup>
            <FormGroup label={_("When")} fieldId="schedule">
                <div className="bd-row">
                    <FormSelect
                        id="schedule"
                        className="bd-select"
                        value={known}
                        onChange={(_event, kind) => {
                            if (kind !== "custom") schedule(kind, time);
                        }}
                    >
                        <FormSelectOption value="on-plug" label={_("When the drive is plugged in")} />
                        <FormSelectOption value="hourly" label={_("Each hour")} />
                        <FormSelectOption value="daily" label={_("Daily")} />
                        <FormSelectOption value="weekly" label={_("Each Sunday")} />
                        <FormSelectOption value="monthly" label={_("On the first day of each month")} />
                        <FormSelectOption value="manual" label={_("Only when you start it")} />
                        {known === "custom" && <FormSelectOption value="custom" label={scheduleText(rule.schedule)} />}
                    </FormSelect>
                    {["daily", "weekly", "monthly"].includes(known) && (
                        <TextInput
                            type="time"
                            aria-label={_("Time")}
                            className="bd-time"
                            value={rule.schedule[0]?.split(" ").pop() ?? time}
                            onChange={(_event, at) => {
                                if (at === "") return;
                                setTime(at);
                                const entry = rule.schedule[0]?.split(" ") ?? [];
                                change({ schedule: [[...entry.slice(0, -1), at].join(" ")] });
                            }}
                        />
                    )}
                </div>
                <div className="bd-quiet">{_("A drive that is away at its time is backed up to when it is plugged in.")}</div>
            </FormGroup>
            <Retention keep={rule.keep} onChange={(keep) => change({ keep })} />
            <Checkbox
                id="nested"
                label={_("Also the subvolumes below it")}
                description={_("Such as a subvolume for each user below /home.")}
                isChecked={rule.nested}
                onChange={(_event, nested) => change({ nested })}
            />
            {old ? (
                <Checkbox
                    id="enabled"
                    label={_("This backup may run")}
                    isChecked={rule.enabled}
                    onChange={(_event, enabled) => change({ enabled })}
                />
            ) : (
                <Checkbox
                    id="now"
                    label={_("Begin the first backup at once")}
                    isChecked={now}
                    onChange={(_event, on) => setNow(on)}
                />
            )}
        </Dialog>
    );
}

/** A name for the backup of a folder: its last part, in letters that a name may have. */
const nameOf = (source: string): string => (source.split("/").filter(Boolean).pop() ?? "").replace(/[^A-Za-z0-9._-]/g, "-");
