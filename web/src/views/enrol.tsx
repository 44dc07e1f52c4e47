// Enrols a drive: keeps what is on it, erases it, or erases and encrypts it. What is erased is the drive that the dialog was opened
// for, by its object, size and serial number: another drive that is plugged in meanwhile cannot take its place.
import { Alert, Checkbox, FormGroup, FormHelperText, HelperText, HelperTextItem, Radio, TextInput } from "./patternfly";
import { useState } from "react";
import { options } from "../model/bus";
import { type Drive, drivesOf } from "../model/drives";
import { size } from "../model/format";
import { allowed } from "../model/permissions";
import { enrolEncrypted } from "../model/secrets";
import { _, filled } from "../model/text";
import { Dialog } from "./parts";
import { useAction, useBus, useSnapshot } from "./store";

type Way = "keep" | "erase" | "encrypt";

export function EnrolDialog({ drive: opened, onClose }: { drive: Drive; onClose(): void }) {
    const bus = useBus();
    const snapshot = useSnapshot();
    const action = useAction();
    // The drive as it was when the dialog opened.
    const [drive] = useState(opened);
    const canKeep = drive.filesystem === "btrfs" || drive.encrypted;
    const mayErase = allowed(snapshot, "format") === "yes";
    const [way, setWay] = useState<Way>(canKeep || !mayErase ? "keep" : "erase");
    const [label, setLabel] = useState(drive.label);
    const [typed, setTyped] = useState("");
    const [passphrase, setPassphrase] = useState("");
    const [again, setAgain] = useState("");
    const [keepKey, setKeepKey] = useState(true);
    const [wholeDisk, setWholeDisk] = useState(true);
    const [unmount, setUnmount] = useState(false);

    const here = drivesOf(snapshot).some((one) => one.path === drive.path && one.device === drive.device && !one.enrolled);
    const erases = way !== "keep";
    const partition = drive.device !== drive.disk;
    const bytes = partition && wholeDisk ? drive.diskSize : drive.size;
    const proof = drive.serial === "" ? String(bytes) : drive.serial;
    const secret = way === "encrypt" || (way === "keep" && drive.encrypted);
    const secretReady = !secret || (passphrase !== "" && (way === "keep" || passphrase === again));
    const ready =
        (here || action.busy) &&
        (erases ? typed.trim() === proof && label.trim() !== "" : canKeep) &&
        secretReady &&
        (!drive.mountedByOthers || unmount);

    const submit = async (): Promise<void> => {
        const done = await action.run(async () => {
            if (secret) {
                const id = erases && partition && wholeDisk ? drive.disk : drive.id;
                await enrolEncrypted(
                    { id, keepKey, unmount, ...(erases ? { erase: { serial: proof, label: label.trim() } } : {}) },
                    passphrase,
                );
            } else {
                const values = erases
                    ? {
                          format: true,
                          size: bytes,
                          serial: drive.serial,
                          label: label.trim(),
                          ...(partition && wholeDisk ? { whole_disk: true } : {}),
                      }
                    : {};
                await bus.call(drive.path, "Drive", "Enrol", [options({ ...values, ...(unmount ? { unmount } : {}) })]);
            }
        });
        setPassphrase("");
        setAgain("");
        if (done) onClose();
    };

    return (
        <Dialog
            title={filled(_("Use {drive} for backups"), { drive: drive.title })}
            description={[drive.model, size(drive.size), drive.device].filter((part) => part !== "").join(" · ")}
            verb={erases ? _("Erase and enrol") : _("Enrol")}
            danger={erases}
            ready={ready}
            busy={action.busy}
            error={action.error}
            wide
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            {!here && !action.busy && (
                <Alert component="p" variant="danger" isInline title={_("The drive was unplugged, or is enrolled already")} data-gone>
                    {_("Close this dialog and begin again.")}
                </Alert>
            )}
            <FormGroup role="radiogroup" label={_("What is on it")} fieldId="way">
                <Radio
                    id="way-keep"
                    name="way"
                    label={_("Keep it")}
                    description={
                        canKeep
                            ? _("Backups are added to what is on the drive.")
                            : _("Not possible: backups need a drive with btrfs.")
                    }
                    isDisabled={!canKeep}
                    isChecked={way === "keep"}
                    onChange={() => setWay("keep")}
                />
                <Radio
                    id="way-erase"
                    name="way"
                    label={_("Erase the drive")}
                    description={_("Everything on it is lost. It gets a new filesystem.")}
                    isDisabled={!mayErase}
                    isChecked={way === "erase"}
                    onChange={() => setWay("erase")}
                />
                <Radio
                    id="way-encrypt"
                    name="way"
                    label={_("Erase and encrypt the drive")}
                    description={_("Everything on it is lost. Who finds the drive cannot read it without the passphrase.")}
                    isDisabled={!mayErase}
                    isChecked={way === "encrypt"}
                    onChange={() => setWay("encrypt")}
                />
            </FormGroup>
            {erases && (
                <FormGroup label={_("Name of the drive")} fieldId="label" isRequired>
                    <TextInput id="label" value={label} maxLength={255} onChange={(_event, value) => setLabel(value)} />
                    <Hint text={_("Write it on the drive too, so that you know which one to plug in.")} />
                </FormGroup>
            )}
            {secret && (
                <>
                    <FormGroup label={_("Passphrase")} fieldId="passphrase" isRequired>
                        <TextInput
                            id="passphrase"
                            type="password"
                            autoComplete="off"
                            value={passphrase}
                            onChange={(_event, value) => setPassphrase(value)}
                        />
                    </FormGroup>
                    {way === "encrypt" && (
                        <FormGroup label={_("The passphrase again")} fieldId="again" isRequired>
                            <TextInput
                                id="again"
                                type="password"
                                autoComplete="off"
                                value={again}
                                validated={again !== "" && again !== passphrase ? "error" : "default"}
                                onChange={(_event, value) => setAgain(value)}
                            />
                            {again !== "" && again !== passphrase && <Hint text={_("The two differ.")} />}
                        </FormGroup>
                    )}
                    <Checkbox
                        id="keep-key"
                        label={_("Unlock it by itself when it is plugged in")}
                        description={_("This machine stores a key for the drive. Keep the passphrase: other machines need it.")}
                        isChecked={keepKey}
                        onChange={(_event, value) => setKeepKey(value)}
                    />
                </>
            )}
            {erases && partition && (
                <Checkbox
                    id="whole-disk"
                    label={filled(_("Use the whole disk {disk}"), { disk: drive.disk })}
                    description={filled(_("Erases all its partitions, {size} in total."), { size: size(drive.diskSize) })}
                    isChecked={wholeDisk}
                    onChange={(_event, value) => setWholeDisk(value)}
                />
            )}
            {drive.mountedByOthers && (
                <Checkbox
                    id="unmount"
                    label={_("Unmount it first")}
                    description={_("Another program has mounted the drive.")}
                    isChecked={unmount}
                    onChange={(_event, value) => setUnmount(value)}
                />
            )}
            {erases && (
                <FormGroup
                    label={
                        drive.serial === ""
                            ? filled(_("To erase it, type its size in bytes: {proof}"), { proof })
                            : filled(_("To erase it, type its serial number: {proof}"), { proof })
                    }
                    fieldId="proof"
                    isRequired
                >
                    <TextInput
                        id="proof"
                        autoComplete="off"
                        spellCheck={false}
                        value={typed}
                        validated={typed !== "" && !proof.startsWith(typed.trim()) ? "error" : "default"}
                        onChange={(_event, value) => setTyped(value)}
                    />
                    <Hint
                        text={
                            drive.serial === ""
                                ? _("This drive has no serial number.")
                                : _("It is printed on the drive. Compare it, so that you erase the right one.")
                        }
                    />
                </FormGroup>
            )}
        </Dialog>
    );
}

function Hint({ text }: { text: string }) {
    return (
        <FormHelperText>
            <HelperText>
                <HelperTextItem>{text}</HelperTextItem>
            </HelperText>
        </FormHelperText>
    );
}
