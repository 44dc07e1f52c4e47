// The entry of the page.
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Bus } from "./model/bus";
import { _ } from "./model/text";
import { reportStatus } from "./status";
import { followTheme } from "./theme";
import { App } from "./views/app";
import { BusContext } from "./views/store";
import "./index.css";

followTheme();
document.title = _("Backups");
document.documentElement.lang = (window.cockpit.language || "en").replace("_", "-");
const bus = new Bus();
reportStatus(bus);
const place = document.getElementById("app");
if (place) {
    createRoot(place).render(
        <StrictMode>
            <BusContext.Provider value={bus}>
                <App />
            </BusContext.Provider>
        </StrictMode>,
    );
}
