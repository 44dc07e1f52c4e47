// What can be done with a whole snapshot: restore it, hold it, delete it.
import { useEffect, useState } from "react";
import { options } from "../model/bus";
import { moment, size } from "../model/format";
import { allowed } from "../model/permissions";
import { type Place, type Snap, volumesOf } from "../model/snapshots";
import { _, filled } from "../model/text";
import { ActionError, Dialog } from "./parts";
import { Alert, Button, FormGroup, Radio, Spinner, TextInput } from "./patternfly";
import { useAction, useBus, useSnapshot } from "./store";

type Open = "restore" | "delete" | "hold";

export function SnapshotActions({ place, snapshot, onChange }: { place: Place; snapshot: Snap; onChange(): void }) {
    const bus = useBus();
    const known = useSnapshot();
    const action = useAction();
    const [open, setOpen] = useState<Open>();
    const deletes = allowed(known, "delete-snapshots") === "yes";
    const close = (): void => setOpen(undefined);
    const release = (): void =>
        void action.run(async () => {
            await bus.call(place.path, place.kind, "ReleaseSnapshot", [snapshot.uuid, options({})]);
            onChange();
        });
    return (
        <>
            <div className="bd-row">
                <strong>{snapshot.created > 0 ? moment(snapshot.created) : snapshot.name}</strong>
                {snapshot.held && snapshot.heldReason !== "" && <span className="bd-quiet">{snapshot.heldReason}</span>}
                {place.kind === "Destination" && allowed(known, "restore") === "yes" && volumesOf(known).length > 0 && (
                    <Button variant="link" isInline data-action="restore-snapshot" onClick={() => setOpen("restore")}>
                        {_("Restore it all")}
                    </Button>
                )}
                {deletes && (
                    <>
                        <Button
                            variant="link"
                            isInline
                            data-action={snapshot.held ? "release" : "hold"}
                            isDisabled={action.busy}
                            onClick={snapshot.held ? release : () => setOpen("hold")}
                        >
                            {snapshot.held ? _("Release") : _("Hold")}
                        </Button>
                        {!snapshot.otherMachine && !snapshot.held && (
                            <Button variant="link" isInline isDanger data-action="delete-snapshot" onClick={() => setOpen("delete")}>
                                {_("Delete")}
                            </Button>
                        )}
                    </>
                )}
            </div>
            <ActionError error={action.error} onClose={action.clear} />
            {open === "restore" && <RestoreDialog place={place} snapshot={snapshot} onClose={close} />}
            {open === "hold" && <HoldDialog place={place} snapshot={snapshot} onClose={close} onDone={onChange} />}
            {open === "delete" && <DeleteDialog place={place} snapshot={snapshot} onClose={close} onDone={onChange} />}
        </>
    );
}

interface Parts {
    place: Place;
    snapshot: Snap;
    onClose(): void;
}

function RestoreDialog({ place, snapshot, onClose }: Parts) {
    const bus = useBus();
    const volumes = volumesOf(useSnapshot());
    const action = useAction();
    const [volume, setVolume] = useState(volumes[0] ?? "");
    const submit = async (): Promise<void> => {
        const done = await action.run(async () => {
            await bus.call(place.path, "Destination", "Restore", [snapshot.uuid, volume, options({})]);
        });
        if (done) onClose();
    };
    return (
        <Dialog
            title={_("Restore the whole snapshot")}
            verb={_("Restore")}
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <FormGroup role="radiogroup" label={_("Into the volume")} fieldId="volume">
                {volumes.map((name) => (
                    <Radio key={name} id={`volume-${name}`} name="volume" label={name} isChecked={volume === name} onChange={() => setVolume(name)} />
                ))}
            </FormGroup>
            <p className="bd-quiet">{_("It becomes a new subvolume there. Nothing is replaced.")}</p>
        </Dialog>
    );
}

function HoldDialog({ place, snapshot, onClose, onDone }: Parts & { onDone(): void }) {
    const bus = useBus();
    const action = useAction();
    const [reason, setReason] = useState("");
    const submit = async (): Promise<void> => {
        const done = await action.run(async () => {
            await bus.call(place.path, place.kind, "HoldSnapshot", [snapshot.uuid, reason, options({})]);
        });
        if (!done) return;
        onDone();
        onClose();
    };
    return (
        <Dialog
            title={_("Hold the snapshot")}
            description={_("No rule deletes it until you release it.")}
            verb={_("Hold")}
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <FormGroup label={_("Why (optional)")} fieldId="reason">
                <TextInput id="reason" maxLength={200} value={reason} onChange={(_event, text) => setReason(text)} />
            </FormGroup>
        </Dialog>
    );
}

interface Estimate {
    bytes?: number;
    lost?: { backup: string; destination: string; full: boolean; bytes?: number }[];
}

function DeleteDialog({ place, snapshot, onClose, onDone }: Parts & { onDone(): void }) {
    const bus = useBus();
    const action = useAction();
    const [estimate, setEstimate] = useState<Estimate>();
    const { run } = action;
    useEffect(() => {
        void run(async () => {
            const [answer] = await bus.call(place.path, place.kind, "EstimateDeletion", [[snapshot.uuid], options({})], 120_000);
            setEstimate(answer as Estimate);
        });
        // `run` does the same in every drawing.
    }, [bus, place.path, place.kind, snapshot.uuid]);
    const lost = estimate?.lost ?? [];
    const submit = async (): Promise<void> => {
        const done = await action.run(async () => {
            const values = lost.length > 0 ? { force: true } : {};
            await bus.call(place.path, place.kind, "DeleteSnapshots", [[snapshot.uuid], options(values)]);
        });
        if (!done) return;
        onDone();
        onClose();
    };
    return (
        <Dialog
            title={_("Delete the snapshot?")}
            description={snapshot.created > 0 ? moment(snapshot.created) : snapshot.name}
            verb={_("Delete")}
            danger
            ready={estimate !== undefined}
            busy={action.busy && estimate !== undefined}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            {estimate === undefined && action.error === "" && <Spinner aria-label={_("Finding out what that frees")} />}
            {estimate?.bytes !== undefined && <p>{filled(_("This frees up to {size}."), { size: size(estimate.bytes) })}</p>}
            {lost.map((one) => (
                <Alert
                    key={`${one.backup} ${one.destination}`}
                    component="p"
                    isInline
                    variant="warning"
                    title={filled(_("The next backup of {backup} to {destination} starts from it"), {
                        backup: one.backup,
                        destination: one.destination,
                    })}
                >
                    {one.full ? _("Without it the next backup sends everything again.") : _("Without it the next backup sends more.")}
                </Alert>
            ))}
        </Dialog>
    );
}
