// Uploads a stream of `btrfs send` from the user's computer into a volume.
import { useEffect, useRef, useState } from "react";
import { size } from "../model/format";
import { errorText } from "../model/problems";
import { type Upload, mountedVolumes, upload } from "../model/streams";
import { _, filled } from "../model/text";
import { ActionError, Dialog } from "./parts";
import { Alert, FormGroup, FormSelect, FormSelectOption, Progress, ProgressMeasureLocation } from "./patternfly";
import { useBus, useSnapshot } from "./store";

export function UploadDialog({ onClose }: { onClose(): void }) {
    const bus = useBus();
    const volumes = mountedVolumes(useSnapshot());
    const [volume, setVolume] = useState(volumes[0] ?? "");
    const [file, setFile] = useState<File>();
    const [read, setRead] = useState<number>();
    const [error, setError] = useState("");
    const [done, setDone] = useState(false);
    const running = useRef<Upload>(undefined);
    // Who leaves the page ends the upload; the service removes what has arrived.
    useEffect(() => () => running.current?.stop(), []);
    const begin = (): void => {
        if (!file) return;
        setError("");
        setRead(0);
        const begun = upload(bus, file, volume, setRead);
        running.current = begun;
        begun.ended
            .then(
                () => setDone(true),
                (failure: unknown) => setError((failure as cockpit.Failure).problem === "cancelled" ? _("It was stopped.") : errorText(failure)),
            )
            .finally(() => {
                running.current = undefined;
                setRead(undefined);
            });
    };
    const sending = read !== undefined;
    if (done) {
        return (
            <Dialog title={_("Upload a stream")} verb={_("Close")} onClose={onClose} onSubmit={onClose}>
                <Alert component="p" variant="success" isInline isLiveRegion title={_("The stream is received")} data-uploaded>
                    {filled(_("Its snapshot is in the volume {volume}."), { volume })}
                </Alert>
            </Dialog>
        );
    }
    return (
        <Dialog
            title={_("Upload a stream")}
            description={_("A file of btrfs send on your computer becomes a snapshot in a volume of this machine.")}
            verb={sending ? _("Stop") : _("Upload")}
            ready={sending || (file !== undefined && volumes.includes(volume))}
            onClose={() => {
                running.current?.stop();
                onClose();
            }}
            onSubmit={() => (sending ? running.current?.stop() : begin())}
        >
            <FormGroup label={_("Stream file")} fieldId="upload-file" isRequired>
                <input
                    id="upload-file"
                    type="file"
                    className="bd-file-input"
                    disabled={sending}
                    onChange={(event) => setFile(event.target.files?.[0])}
                />
            </FormGroup>
            <FormGroup label={_("Into the volume")} fieldId="upload-volume">
                <FormSelect id="upload-volume" value={volume} isDisabled={sending} onChange={(_event, name) => setVolume(name)}>
                    {volumes.map((name) => (
                        <FormSelectOption key={name} value={name} label={name} />
                    ))}
                </FormSelect>
            </FormGroup>
            {sending && file && (
                <div data-uploading>
                    <Progress
                        value={file.size === 0 ? 0 : Math.floor((100 * read) / file.size)}
                        title={filled(_("{done} of {total}"), { done: size(Math.min(read, file.size)), total: size(file.size) })}
                        measureLocation={ProgressMeasureLocation.top}
                        aria-label={_("Upload a stream")}
                    />
                    <p className="bd-quiet">{_("Keep this page open until it has ended.")}</p>
                </div>
            )}
            <ActionError error={error} />
        </Dialog>
    );
}
