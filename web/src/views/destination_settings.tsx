// The settings of one destination: what happens after its backups, how fast they write, when it is verified.
import { useEffect, useState } from "react";
import {
    type DestinationChoice,
    type DestinationRule,
    type Limit,
    limitOf,
    limitWords,
    newName,
    ruleOf,
    writeDestination,
} from "../model/destinations";
import { type Drive, drivesOf } from "../model/drives";
import { type Problem, errorText } from "../model/problems";
import { type Settings, readSettings } from "../model/settings";
import { _, counted, filled } from "../model/text";
import { Dialog } from "./parts";
import { Alert, Checkbox, FormGroup, FormSelect, FormSelectOption, Spinner, TextInput } from "./patternfly";
import { useAction, useBus, useSnapshot } from "./store";

/** Of this drive, or of the rule that the configuration has. */
export function DestinationSettings(props: {
    drive?: Drive;
    rule?: DestinationRule;
    onClose(): void;
    onDone?(warnings: readonly Problem[]): void;
}) {
    const { drive, rule, onClose, onDone } = props;
    const bus = useBus();
    const [settings, setSettings] = useState<Settings>();
    const [error, setError] = useState("");
    useEffect(() => {
        readSettings(bus).then(setSettings, (failure: unknown) => setError(errorText(failure)));
    }, [bus]);
    const name = rule?.name ?? drive?.title ?? "";
    const title = filled(_("Settings of {name}"), { name });
    if (!settings) {
        return (
            <Dialog title={title} verb={_("Save")} ready={false} error={error} onClose={onClose} onSubmit={onClose}>
                {error === "" && <Spinner aria-label={_("Reading the settings")} />}
            </Dialog>
        );
    }
    const old = drive ? ruleOf(settings.destinations, drive) : settings.destinations.find((one) => one.name === rule?.name);
    return (
        <Editor
            title={title}
            settings={settings}
            old={old}
            drive={drive}
            onClose={onClose}
            onDone={(warnings) => {
                onDone?.(warnings);
                onClose();
            }}
        />
    );
}

function Editor(props: {
    title: string;
    settings: Settings;
    old: DestinationRule | undefined;
    drive: Drive | undefined;
    onClose(): void;
    onDone(warnings: readonly Problem[]): void;
}) {
    const { title, settings, old, drive, onClose, onDone } = props;
    const bus = useBus();
    const drives = drivesOf(useSnapshot());
    const action = useAction();
    const [choice, setChoice] = useState<DestinationChoice>({
        onFinish: old?.onFinish ?? "",
        maxRate: old?.maxRate ?? [],
        verifyEvery: old?.verifyEvery ?? "",
    });
    const change = (changes: Partial<DestinationChoice>): void => setChoice({ ...choice, ...changes });
    const [limitReady, setLimitReady] = useState(true);
    const isDrive = old ? old.kind === "drive" : true;
    const submit = async (): Promise<void> => {
        let warnings: readonly Problem[] = [];
        const name = old?.name ?? (drive ? newName(drive, drives, settings.destinations) : "");
        const done = await action.run(async () => {
            warnings = await writeDestination(bus, name, choice, old, drive?.id ?? "", settings.revision);
        });
        if (done) onDone(warnings);
    };
    return (
        <Dialog
            title={title}
            verb={_("Save")}
            ready={settings.writable && limitReady}
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            {!settings.writable && (
                <Alert component="p" variant="warning" isInline title={_("The settings cannot be changed here")}>
                    {filled(_("The filesystem of {file} is read-only."), { file: settings.file })}
                </Alert>
            )}
            {isDrive && (
                <FormGroup label={_("After a backup")} fieldId="on-finish">
                    <FormSelect id="on-finish" value={choice.onFinish} onChange={(_event, onFinish) => change({ onFinish })}>
                        <FormSelectOption value="" label={_("As for all drives")} />
                        <FormSelectOption value="unmount" label={_("Make the drive safe to unplug")} />
                        <FormSelectOption value="power-off" label={_("Make it safe, and switch it off")} />
                        <FormSelectOption value="keep" label={_("Keep it mounted")} />
                    </FormSelect>
                </FormGroup>
            )}
            <LimitFields
                maxRate={choice.maxRate}
                onChange={(maxRate, ready) => {
                    change({ maxRate });
                    setLimitReady(ready);
                }}
            />
            <FormGroup label={_("Verify all data by itself")} fieldId="verify-every">
                <FormSelect id="verify-every" value={choice.verifyEvery} onChange={(_event, verifyEvery) => change({ verifyEvery })}>
                    <FormSelectOption value="" label={_("Only when you start it")} />
                    {periods(old?.verifyEvery ?? "").map(([value, label]) => (
                        <FormSelectOption key={value} value={value} label={label} />
                    ))}
                </FormSelect>
                <div className="bd-quiet">{_("It begins after the backups, and reads the whole destination.")}</div>
            </FormGroup>
        </Dialog>
    );
}

/** The periods to choose from; a period of the file that is none of them is one more. */
function periods(old: string): readonly [string, string][] {
    const days = (n: number): [string, string] => [`${n}d`, counted("After {n} day", "After {n} days", n)];
    const known = [30, 90, 180, 365].map(days);
    return old === "" || known.some(([value]) => value === old) ? known : [...known, [old, old]];
}

function LimitFields({ maxRate, onChange }: { maxRate: readonly string[]; onChange(maxRate: readonly string[], ready: boolean): void }) {
    const [first] = useState(() => limitOf(maxRate));
    const [on, setOn] = useState(maxRate.length > 0);
    const [limit, setLimit] = useState<Limit>(first && first.mebibytes !== "" ? first : { mebibytes: "20", from: "", to: "" });
    const change = (next: Limit): void => {
        setLimit(next);
        onChange(limitWords(next), /^[1-9]\d{0,6}$/.test(next.mebibytes) && (next.from === "") === (next.to === ""));
    };
    return (
        <>
            <Checkbox
                id="limited"
                label={_("Limit how fast backups write to it")}
                isChecked={on}
                onChange={(_event, next) => {
                    setOn(next);
                    if (next) change(limit);
                    else onChange([], true);
                }}
            />
            {on && first === undefined && (
                <FormGroup label={_("Limits")} fieldId="max-rate">
                    <TextInput
                        id="max-rate"
                        value={maxRate.join(", ")}
                        spellCheck={false}
                        onChange={(_event, text) => {
                            const entries = text.split(",").map((entry) => entry.trim());
                            onChange(entries, entries.every((entry) => entry !== ""));
                        }}
                    />
                    <div className="bd-quiet">{_("Such as 20MiB/s 08:00-23:00, 5MiB/s 23:00-08:00.")}</div>
                </FormGroup>
            )}
            {on && first !== undefined && (
                <>
                    <FormGroup label={_("Up to (MiB per second)")} fieldId="max-rate" isRequired>
                        <TextInput
                            id="max-rate"
                            type="number"
                            min={1}
                            value={limit.mebibytes}
                            onChange={(_event, mebibytes) => change({ ...limit, mebibytes })}
                        />
                    </FormGroup>
                    <FormGroup role="group" label={_("Between these times (none: always)")} fieldId="max-rate-from">
                        <div className="bd-row">
                            <TextInput
                                id="max-rate-from"
                                type="time"
                                aria-label={_("From")}
                                className="bd-time"
                                value={limit.from}
                                onChange={(_event, from) => change({ ...limit, from })}
                            />
                            –
                            <TextInput
                                id="max-rate-to"
                                type="time"
                                aria-label={_("To")}
                                className="bd-time"
                                value={limit.to}
                                onChange={(_event, to) => change({ ...limit, to })}
                            />
                        </div>
                    </FormGroup>
                </>
            )}
        </>
    );
}
