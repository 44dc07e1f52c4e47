// Asks before a drive is forgotten.
import { options } from "../model/bus";
import type { Drive } from "../model/drives";
import { _, filled } from "../model/text";
import { Dialog } from "./parts";
import { useAction, useBus } from "./store";

export function ForgetDialog({ drive, onClose }: { drive: Drive; onClose(): void }) {
    const bus = useBus();
    const action = useAction();
    const submit = async (): Promise<void> => {
        const done = await action.run(async () => {
            await bus.call(drive.path, "Destination", "Forget", [options({})]);
        });
        if (done) onClose();
    };
    return (
        <Dialog
            title={filled(_("Forget {drive}?"), { drive: drive.title })}
            verb={_("Forget")}
            danger
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <p>{_("This machine makes no more backups to it. The backups on it stay and can be read.")}</p>
            <p>{_("If you enrol it again later, the next backup sends everything.")}</p>
        </Dialog>
    );
}
