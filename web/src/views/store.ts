// The connection to the service, for views.
import { createContext, useContext, useEffect, useState, useSyncExternalStore } from "react";
import type { Bus, Snapshot } from "../model/bus";
import { errorText } from "../model/problems";

export const BusContext = createContext<Bus | undefined>(undefined);

export function useBus(): Bus {
    const bus = useContext(BusContext);
    if (!bus) throw new Error("no BusContext above this view");
    return bus;
}

/** What is known of the service now; the view is drawn again when it changes. */
export function useSnapshot(): Snapshot {
    const bus = useBus();
    return useSyncExternalStore(bus.subscribe, bus.snapshot);
}

/** The time, each minute or so often: for ages. */
export function useNow(interval = 60_000): number {
    const [now, setNow] = useState(Date.now());
    useEffect(() => {
        const timer = setInterval(() => setNow(Date.now()), interval);
        return () => clearInterval(timer);
    }, [interval]);
    return now;
}

/** An action that a person starts: whether it runs, and its error until the next attempt. */
export function useAction(): {
    busy: boolean;
    error: string;
    run(action: () => Promise<void>): Promise<boolean>;
    clear(): void;
} {
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState("");
    return {
        busy,
        error,
        clear: () => setError(""),
        run: async (action) => {
            setBusy(true);
            setError("");
            try {
                await action();
                return true;
            } catch (failure) {
                setError(errorText(failure));
                return false;
            } finally {
                setBusy(false);
            }
        },
    };
}
