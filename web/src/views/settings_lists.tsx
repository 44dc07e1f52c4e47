// The lists of the settings: volumes and destinations.
import { useState } from "react";
import { type DestinationRule, addFolder, removeDestination } from "../model/destinations";
import type { Problem } from "../model/problems";
import { type Settings, addVolume, removeVolume } from "../model/settings";
import { _, filled } from "../model/text";
import { DestinationSettings } from "./destination_settings";
import { Dialog } from "./parts";
import { Button, Card, CardBody, CardTitle, FormGroup, TextInput } from "./patternfly";
import { useAction, useBus } from "./store";

interface ListProps {
    settings: Settings;
    /** Nothing can be changed now. */
    locked: boolean;
    /** Changes something, then reads the settings again. */
    change(what: () => Promise<void>): void;
    /** Something was changed in a dialog. */
    onDone(warnings: readonly Problem[]): void;
}

export function Volumes({ settings, locked, change, onDone }: ListProps) {
    const bus = useBus();
    const [adding, setAdding] = useState(false);
    return (
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
            {adding && (
                <FolderDialog
                    id="volume"
                    title={_("Add a volume")}
                    add={(name, path) => addVolume(bus, name, path, settings.revision)}
                    onClose={() => setAdding(false)}
                    onDone={onDone}
                />
            )}
        </Card>
    );
}

export function Destinations({ settings, locked, change, onDone }: ListProps) {
    const bus = useBus();
    const [adding, setAdding] = useState(false);
    const [editing, setEditing] = useState<DestinationRule>();
    return (
        <Card component="section" aria-label={_("Destinations")} className="bd-narrow">
            <CardTitle component="h2">{_("Destinations")}</CardTitle>
            <CardBody className="bd-stack">
                <p>{_("Folders of this machine that take backups, such as a second pool, and drives with settings of their own.")}</p>
                <ul className="bd-stack">
                    {settings.destinations.map((rule) => (
                        <li key={rule.name} className="bd-row" data-destination={rule.name}>
                            <strong>{rule.name}</strong>
                            <span className="bd-quiet bd-name">{ruleText(rule)}</span>
                            <Button
                                variant="link"
                                isInline
                                isDisabled={locked}
                                data-action="edit-destination"
                                aria-label={filled(_("Settings of {name}"), { name: rule.name })}
                                onClick={() => setEditing(rule)}
                            >
                                {_("Settings")}
                            </Button>
                            {!rule.maker && (
                                <Button
                                    variant="link"
                                    isInline
                                    isDisabled={locked}
                                    data-action="remove-destination"
                                    aria-label={filled(_("Remove {name}"), { name: rule.name })}
                                    onClick={() => change(() => removeDestination(bus, rule.name, settings.revision))}
                                >
                                    {_("Remove")}
                                </Button>
                            )}
                        </li>
                    ))}
                </ul>
                <div>
                    <Button variant="secondary" isDisabled={locked} data-action="add-destination" onClick={() => setAdding(true)}>
                        {_("Add a folder of this machine")}
                    </Button>
                </div>
            </CardBody>
            {adding && (
                <FolderDialog
                    id="destination"
                    title={_("Back up to a folder of this machine")}
                    add={addFolder}
                    onClose={() => setAdding(false)}
                    onDone={onDone}
                />
            )}
            {editing && <DestinationSettings rule={editing} onClose={() => setEditing(undefined)} onDone={onDone} />}
        </Card>
    );
}

/** What it is, and what is set. */
function ruleText(rule: DestinationRule): string {
    const what = rule.kind === "volume" ? rule.path : _("a drive");
    const verify = rule.verifyEvery === "" ? "" : filled(_("verified every {time}"), { time: rule.verifyEvery });
    return [what, ...rule.maxRate, verify].filter((part) => part !== "").join(" · ");
}

/** Asks for a name and a folder. */
function FolderDialog(props: {
    id: string;
    title: string;
    add(name: string, path: string): Promise<readonly Problem[]>;
    onClose(): void;
    onDone(warnings: readonly Problem[]): void;
}) {
    const { id, title, add, onClose, onDone } = props;
    const action = useAction();
    const [name, setName] = useState("");
    const [path, setPath] = useState("");
    const submit = async (): Promise<void> => {
        let warnings: readonly Problem[] = [];
        const done = await action.run(async () => {
            warnings = await add(name.trim(), path.trim());
        });
        if (!done) return;
        onDone(warnings);
        onClose();
    };
    return (
        <Dialog
            title={title}
            verb={_("Add")}
            ready={name.trim() !== "" && path.startsWith("/")}
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <FormGroup label={_("Name")} fieldId={`${id}-name`} isRequired>
                <TextInput id={`${id}-name`} value={name} onChange={(_event, text) => setName(text)} />
            </FormGroup>
            <FormGroup label={_("Folder")} fieldId={`${id}-path`} isRequired>
                <TextInput
                    id={`${id}-path`}
                    value={path}
                    placeholder="/srv/tank/backups"
                    spellCheck={false}
                    onChange={(_event, text) => setPath(text)}
                />
            </FormGroup>
        </Dialog>
    );
}
