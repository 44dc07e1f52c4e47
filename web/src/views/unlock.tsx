// Asks for the passphrase of an encrypted drive. It lives in the field until the dialog closes, and nowhere else.
import { FormGroup, TextInput } from "./patternfly";
import { useState } from "react";
import type { Drive } from "../model/drives";
import { unlock } from "../model/secrets";
import { _, filled } from "../model/text";
import { Dialog } from "./parts";
import { useAction } from "./store";

export function UnlockDialog({ drive, onClose }: { drive: Drive; onClose(): void }) {
    const [passphrase, setPassphrase] = useState("");
    const action = useAction();
    const submit = async (): Promise<void> => {
        const done = await action.run(() => unlock(drive.id, passphrase));
        setPassphrase("");
        if (done) onClose();
    };
    return (
        <Dialog
            title={filled(_("Unlock {drive}"), { drive: drive.title })}
            verb={_("Unlock")}
            ready={passphrase !== ""}
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <FormGroup label={_("Passphrase")} fieldId="passphrase">
                <TextInput
                    id="passphrase"
                    type="password"
                    autoComplete="off"
                    autoFocus
                    value={passphrase}
                    onChange={(_event, value) => setPassphrase(value)}
                />
            </FormGroup>
        </Dialog>
    );
}
