// Asks where chosen files are put back to.
import { useState } from "react";
import { type Place, type Target, restoreFiles, volumesOf } from "../model/snapshots";
import { _, counted, filled } from "../model/text";
import { Dialog } from "./parts";
import { FormGroup, Radio } from "./patternfly";
import { useAction, useBus, useSnapshot } from "./store";

export function PutBackDialog(props: {
    place: Place;
    snapshot: string;
    names: readonly string[];
    paths: readonly Uint8Array[];
    onClose(): void;
}) {
    const { place, snapshot, names, paths, onClose } = props;
    const bus = useBus();
    const volumes = volumesOf(useSnapshot());
    const action = useAction();
    const [target, setTarget] = useState<Target>("keep-both");
    const submit = async (): Promise<void> => {
        const done = await action.run(async () => {
            await restoreFiles(bus, place, snapshot, paths, target);
        });
        if (done) onClose();
    };
    return (
        <Dialog
            title={counted("Put {n} item back", "Put {n} items back", names.length)}
            description={names.slice(0, 5).join(", ")}
            verb={_("Put back")}
            danger={target === "replace"}
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <FormGroup role="radiogroup" label={_("Where to")} fieldId="target">
                <Radio
                    id="target-keep-both"
                    name="target"
                    label={_("To its place, and keep what is there")}
                    description={_("If there is a file of this name, the restored one gets the date in its name.")}
                    isChecked={target === "keep-both"}
                    onChange={() => setTarget("keep-both")}
                />
                <Radio
                    id="target-replace"
                    name="target"
                    label={_("To its place, and replace what is there")}
                    description={_("What was changed since then is lost.")}
                    isChecked={target === "replace"}
                    onChange={() => setTarget("replace")}
                />
                {volumes.map((volume) => (
                    <Radio
                        key={volume}
                        id={`target-volume-${volume}`}
                        name="target"
                        label={filled(_("Into a new folder of the volume {volume}"), { volume })}
                        isChecked={typeof target !== "string" && target.volume === volume}
                        onChange={() => setTarget({ volume })}
                    />
                ))}
            </FormGroup>
        </Dialog>
    );
}
