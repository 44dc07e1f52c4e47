// The page: its views, and what it shows while the service does not run.
import { Button, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter, Nav, NavItem, NavList, Spinner } from "./patternfly";
import { ExclamationCircleIcon } from "./patternfly";
import { type ReactNode, useEffect, useState } from "react";
import { allowed } from "../model/permissions";
import { _ } from "../model/text";
import { AdministrativeAccess } from "./administrative_access";
import { BackupsView } from "./backups";
import { DrivesView } from "./drives";
import { HistoryView } from "./history";
import { RestoreView } from "./restore";
import { SettingsView } from "./settings";
import { useBus, useSnapshot } from "./store";

interface View {
    name: string;
    title: string;
    /** Users who may not do this do not see the view. */
    action?: string;
    content: (user: number) => ReactNode;
}

/** The views, in the order of the tabs. The first is shown without a name in the address. */
const views = (): View[] => [
    { name: "", title: _("Drives"), content: (user) => <DrivesView user={user} /> },
    { name: "backups", title: _("Backups"), content: () => <BackupsView /> },
    { name: "restore", title: _("Restore"), content: (user) => <RestoreView user={user} /> },
    { name: "history", title: _("History"), content: (user) => <HistoryView user={user} /> },
    { name: "settings", title: _("Settings"), action: "manage", content: () => <SettingsView /> },
];

export function App() {
    const snapshot = useSnapshot();
    const place = usePlace();
    const user = useUser();
    const all = views().filter(({ action }) => action === undefined || allowed(snapshot, action) === "yes");
    const view = all.find(({ name }) => name === place) ?? all[0];
    return (
        <div className="bd-page">
            {all.length > 1 && (
                <div className="bd-nav">
                    <Nav variant="horizontal-subnav" aria-label={_("Views")}>
                        <NavList>
                            {all.map(({ name, title }) => (
                                <NavItem key={name} itemId={name} isActive={name === view?.name} to={`#/${name}`}>
                                    {title}
                                </NavItem>
                            ))}
                        </NavList>
                    </Nav>
                </div>
            )}
            <main className="bd-main bd-stack">
                <h1 className="bd-hidden">{_("Backups")}</h1>
                {snapshot.service === "running" && view ? (
                    <>
                        <AdministrativeAccess />
                        {view.content(user)}
                    </>
                ) : (
                    <Absent connecting={snapshot.service === "connecting"} reason={snapshot.reason} />
                )}
            </main>
        </div>
    );
}

function Absent({ connecting, reason }: { connecting: boolean; reason: string }) {
    const bus = useBus();
    if (connecting) {
        return <EmptyState headingLevel="h2" icon={Spinner} titleText={_("Connecting to the backup service")} />;
    }
    return (
        <EmptyState
            headingLevel="h2"
            icon={ExclamationCircleIcon}
            status="danger"
            titleText={_("The backup service is not running")}
            data-absent
        >
            <EmptyStateBody>
                {_("No backup runs now. The page continues by itself when the service runs again.")}
                {reason !== "" && <div className="bd-quiet">{reason}</div>}
            </EmptyStateBody>
            <EmptyStateFooter>
                <EmptyStateActions>
                    <Button variant="primary" data-action="start" onClick={() => bus.start()}>
                        {_("Start the service")}
                    </Button>
                </EmptyStateActions>
            </EmptyStateFooter>
        </EmptyState>
    );
}

/** The view that the address names. */
function usePlace(): string {
    const [place, setPlace] = useState(window.cockpit.location.path[0] ?? "");
    useEffect(() => {
        const changed = (): void => setPlace(window.cockpit.location.path[0] ?? "");
        window.cockpit.addEventListener("locationchanged", changed);
        return () => window.cockpit.removeEventListener("locationchanged", changed);
    }, []);
    return place;
}

/** The user's number; that of nobody until it is known. */
function useUser(): number {
    const [user, setUser] = useState(-1);
    useEffect(() => {
        void window.cockpit.user().then(({ id }) => setUser(id));
    }, []);
    return user;
}
