// The settings of the service that have no place in another view.
import { useCallback, useEffect, useState } from "react";
import type { Problem } from "../model/problems";
import { type Settings, addVolume, readSettings, removeVolume, setOnFinish } from "../model/settings";
import { _, filled } from "../model/text";
import { ActionError, Dialog, Problems } from "./parts";
import { Alert, Button, Card, CardBody, CardTitle, FormGroup, Radio, Spinner, TextInput } from "./patternfly";
import { useAction, useBus } from "./store";

export function SettingsView() {
    const bus = useBus();
    const action = useAction();
    const [settings, setSettings] = useState<Settings>();
    const [adding, setAdding] = useState(false);
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
            <Card component="section" aria-label={_("Volumes")} className="bd-narrow">
                <CardTitle component="h2">{_("Volumes")}</CardTitle>
                <CardBody className="bd-stack">
                    <p>{_("Folders on btrfs that snapshots and files can be restored into.")}</p>
                    <ul className="bd-stack">
                        {settings.volumes.map((volume) => (
                            <li key={volume.name} className="bd-row" data-volume={volume.name}>
                                <strong>{volume.name}</strong>
                                <span className="bd-quiet bd-name">{volume.path}</span>
                                {!volume.maker && (
                                    <Button
                                        variant="link"
                                        isInline
                                        isDisabled={locked}
                                        data-action="remove-volume"
                                        aria-label={filled(_("Remove {name}"), { name: volume.name })}
                                        onClick={() => change(() => removeVolume(bus, volume.name, settings.revision))}
                                    >
                                        {_("Remove")}
                                    </Button>
                                )}
                            </li>
                        ))}
                    </ul>
                    <div>
                        <Button variant="secondary" isDisabled={locked} data-action="add-volume" onClick={() => setAdding(true)}>
                            {_("Add a volume")}
                        </Button>
                    </div>
                </CardBody>
            </Card>
            <p className="bd-quiet">{filled(_("The settings are in {file}. Comments in it stay."), { file: settings.file })}</p>
            {adding && (
                <VolumeDialog
                    revision={settings.revision}
                    onClose={() => setAdding(false)}
                    onDone={(told) => {
                        setWarnings(told);
                        setAdding(false);
                        void read();
                    }}
                />
            )}
        </>
    );
}

function VolumeDialog(props: { revision: string; onClose(): void; onDone(warnings: readonly Problem[]): void }) {
    const { revision, onClose, onDone } = props;
    const bus = useBus();
    const action = useAction();
    const [name, setName] = useState("");
    const [path, setPath] = useState("");
    const submit = async (): Promise<void> => {
        let warnings: readonly Problem[] = [];
        const done = await action.run(async () => {
            warnings = await addVolume(bus, name.trim(), path.trim(), revision);
        });
        if (done) onDone(warnings);
    };
    return (
        <Dialog
            title={_("Add a volume")}
            verb={_("Add")}
            ready={name.trim() !== "" && path.startsWith("/")}
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <FormGroup label={_("Name")} fieldId="volume-name" isRequired>
                <TextInput id="volume-name" value={name} onChange={(_event, text) => setName(text)} />
            </FormGroup>
            <FormGroup label={_("Folder")} fieldId="volume-path" isRequired>
                <TextInput id="volume-path" value={path} placeholder="/srv/tank/backups" spellCheck={false} onChange={(_event, text) => setPath(text)} />
            </FormGroup>
        </Dialog>
    );
}
