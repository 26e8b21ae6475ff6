//! Whether the web may sell from this store.

use super::texts;

texts! {
    TITLE: "Web sales", "Ventas por internet", "वेब बिक्री";
    ON: "On: the web can order from this store.", "Activas: se puede pedir por internet a esta tienda.", "चालू: वेब पर इस स्टोर से ऑर्डर हो सकता है।";
    OFF: "Switched off by head office: no new orders come in.", "Desactivadas por la central: no entran pedidos nuevos.", "मुख्यालय ने बंद किया है: नए ऑर्डर नहीं आएँगे।";
    PAUSED: "Paused until {until}: no new orders come in.", "En pausa hasta {until}: no entran pedidos nuevos.", "{until} तक रुकी है: नए ऑर्डर नहीं आएँगे।";
    PAUSED_BECAUSE: "Paused until {until}, because: {reason}", "En pausa hasta {until}, por: {reason}", "{until} तक रुकी है, कारण: {reason}";
    PAUSED_HERE: "Paused here by {by} until {until}, because: {reason}", "En pausa por {by} hasta {until}, por: {reason}", "{by} ने {until} तक रोकी है, कारण: {reason}";
    PAUSE: "Pause web sales", "Poner en pausa", "वेब बिक्री रोकें";
    PAUSE_WHY: "No new orders come in until then. Those that are here are not touched. What was ordered before head office hears of it still comes.", "Hasta entonces no entran pedidos nuevos. Los que ya están no cambian. Lo pedido antes de que la central lo sepa todavía llega.", "तब तक नए ऑर्डर नहीं आएँगे। जो यहाँ हैं वे वैसे ही रहेंगे। मुख्यालय को पता चलने से पहले के ऑर्डर फिर भी आएँगे।";
    HOW_LONG: "For how long", "Cuánto tiempo", "कितनी देर";
    REASON: "Why", "Por qué", "क्यों";
    RESUME: "Take orders again", "Volver a aceptar pedidos", "फिर ऑर्डर लें";
    NOT_HEARD: "Head office has not said yet.", "La central todavía no ha dicho nada.", "मुख्यालय ने अभी कुछ नहीं बताया है।";
    UNREADABLE: "Head office has said something this version cannot read. Ask IT to upgrade the store server.", "La central ha dicho algo que esta versión no entiende. Pida a informática que actualice el servidor de la tienda.", "मुख्यालय का संदेश यह संस्करण नहीं पढ़ सकता। आईटी से स्टोर सर्वर अपग्रेड कराएँ।";
}
