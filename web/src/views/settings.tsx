// The settings of the service that have no place in another view.
import { useCallback, useEffect, useState } from "react";
import type { Problem } from "../model/problems";
import { type Settings, readSettings, setOnFinish } from "../model/settings";
import { _, filled } from "../model/text";
import { ActionError, Problems } from "./parts";
import { Alert, Card, CardBody, CardTitle, Radio, Spinner } from "./patternfly";
import { Destinations, Volumes } from "./settings_lists";
import { useAction, useBus } from "./store";

export function SettingsView() {
    const bus = useBus();
    const action = useAction();
    const [settings, setSettings] = useState<Settings>();
    const [warnings, setWarnings] = useState<readonly Problem[]>([]);
    const { run } = action;
    const read = useCallback(
        () => run(async () => setSettings(await readSettings(bus))),
        // `run` does the same in every drawing.
        [bus],
    );
    useEffect(() => {
        void read();
    }, [read]);
    /** Changes something, then reads the settings again: also after a refusal, which may mean that another person changed them. */
    const change = (what: () => Promise<void>): void =>
        void run(async () => {
            try {
                await what();
            } finally {
                setSettings(await readSettings(bus));
            }
        });
    if (!settings) {
        return action.error === "" ? <Spinner aria-label={_("Reading the settings")} /> : <ActionError error={action.error} />;
    }
    const locked = action.busy || !settings.writable;
    const done = (told: readonly Problem[]): void => {
        setWarnings(told);
        void read();
    };
    const finish = (value: string): void => change(() => setOnFinish(bus, value, settings.revision));
    return (
        <>
            <ActionError error={action.error} onClose={action.clear} />
            {!settings.writable && (
                <Alert component="p" variant="warning" isInline title={_("The settings cannot be changed here")}>
                    {filled(_("The filesystem of {file} is read-only."), { file: settings.file })}
                </Alert>
            )}
            <Problems problems={warnings} />
            <Card component="section" aria-label={_("After a backup")} className="bd-narrow">
                <CardTitle component="h2">{_("After a backup")}</CardTitle>
                <CardBody className="bd-stack">
                    {(
                        [
                            ["unmount", _("Make the drive safe to unplug"), _("It is unmounted, and locked if it is encrypted.")],
                            ["power-off", _("Make it safe, and switch it off"), _("If the hardware can.")],
                            ["keep", _("Keep it mounted"), _("Remove it safely before you unplug it.")],
                        ] as const
                    ).map(([value, label, description]) => (
                        <Radio
                            key={value}
                            id={`finish-${value}`}
                            name="finish"
                            label={label}
                            description={description}
                            isDisabled={locked}
                            isChecked={settings.onFinish === value}
                            onChange={() => finish(value)}
                        />
                    ))}
                </CardBody>
            </Card>
            <Volumes settings={settings} locked={locked} change={change} onDone={done} />
            <Destinations settings={settings} locked={locked} change={change} onDone={done} />
            <p className="bd-quiet">{filled(_("The settings are in {file}. Comments in it stay."), { file: settings.file })}</p>
        </>
    );
}
