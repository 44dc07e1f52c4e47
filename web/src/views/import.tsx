// Asks which stream files on a drive are imported, and into which volume.
import { useEffect, useState } from "react";
import type { Drive } from "../model/drives";
import { size } from "../model/format";
import { errorText } from "../model/problems";
import { type StreamFile, importStreams, listStreams, mountedVolumes } from "../model/streams";
import { _, counted, filled, toBase64 } from "../model/text";
import { ActionError, Dialog } from "./parts";
import { FormGroup, FormSelect, FormSelectOption, Radio, Spinner } from "./patternfly";
import { useAction, useBus, useSnapshot } from "./store";

export function ImportDialog({ drive, onClose }: { drive: Drive; onClose(): void }) {
    const bus = useBus();
    const volumes = mountedVolumes(useSnapshot());
    const action = useAction();
    const [streams, setStreams] = useState<readonly StreamFile[]>();
    const [unread, setUnread] = useState("");
    const [only, setOnly] = useState<StreamFile>();
    const [volume, setVolume] = useState(volumes[0] ?? "");
    useEffect(() => {
        let current = true;
        listStreams(bus, drive.path).then(
            (found) => current && setStreams(found),
            (failure: unknown) => current && setUnread(errorText(failure)),
        );
        return () => {
            current = false;
        };
    }, [bus, drive.path]);
    const good = (streams ?? []).filter(({ problem }) => problem === "");
    const submit = async (): Promise<void> => {
        const done = await action.run(async () => {
            await importStreams(bus, drive.path, volume, only?.name);
        });
        if (done) onClose();
    };
    return (
        <Dialog
            title={filled(_("Import streams from {drive}"), { drive: drive.title })}
            description={_("Each file of btrfs send becomes a snapshot in the volume. The drive is only read.")}
            verb={_("Import")}
            ready={good.length > 0 && volumes.includes(volume)}
            busy={action.busy}
            error={action.error}
            wide
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <ActionError error={unread} />
            {streams === undefined && unread === "" && <Spinner aria-label={_("Reading the streams")} />}
            {streams?.length === 0 && <p data-empty>{_("There are no stream files in its folder.")}</p>}
            {streams !== undefined && streams.length > 0 && (
                <>
                    <FormGroup label={_("Into the volume")} fieldId="import-volume">
                        <FormSelect id="import-volume" value={volume} onChange={(_event, name) => setVolume(name)}>
                            {volumes.map((name) => (
                                <FormSelectOption key={name} value={name} label={name} />
                            ))}
                        </FormSelect>
                    </FormGroup>
                    <FormGroup role="radiogroup" label={_("Which files")} fieldId="import-files">
                        <Radio
                            id="import-all"
                            name="import"
                            label={counted("The {n} file that can be imported", "All {n} files that can be imported", good.length)}
                            description={_("Those that the volume has already are left out.")}
                            isChecked={only === undefined}
                            onChange={() => setOnly(undefined)}
                        />
                        {streams.map((stream, at) => (
                            <Radio
                                key={toBase64(stream.name)}
                                id={`import-${at}`}
                                name="import"
                                label={<span data-stream={stream.text}>{stream.text}</span>}
                                description={aboutStream(stream)}
                                isDisabled={stream.problem !== ""}
                                isChecked={only === stream}
                                onChange={() => setOnly(stream)}
                            />
                        ))}
                    </FormGroup>
                </>
            )}
        </Dialog>
    );
}

function aboutStream(stream: StreamFile): string {
    if (stream.problem !== "") return stream.problem;
    const kind = stream.increment ? _("builds on another snapshot") : "";
    return [stream.subvolume, size(stream.size), kind].filter((part) => part !== "").join(" · ");
}
