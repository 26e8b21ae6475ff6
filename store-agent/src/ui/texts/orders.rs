//! The list of orders, and how an order stands, in words.

use super::texts;

texts! {
    TITLE: "Orders", "Pedidos", "ऑर्डर";
    SHOW: "Which orders", "Qué pedidos", "कौन से ऑर्डर";
    ALL_OPEN: "To do", "Por hacer", "बाकी";
    NEW: "New", "Nuevos", "नए";
    PICKING: "Picking", "Recogiendo", "चुनाई में";
    READY: "Ready", "Listos", "तैयार";
    ASIDE: "Needs a decision", "Piden una decisión", "फ़ैसला चाहिए";
    DONE: "Done today", "Hechos hoy", "आज पूरे हुए";
    EMPTY_OPEN: "No order waits. A new one shows up here by itself, with a sound.", "Ningún pedido espera. Los nuevos aparecen aquí solos, con un sonido.", "कोई ऑर्डर बाकी नहीं। नया आते ही आवाज़ के साथ यहीं दिखेगा।";
    EMPTY_DONE: "Nothing was finished today yet.", "Hoy aún no se ha terminado nada.", "आज अभी कुछ पूरा नहीं हुआ।";
    EMPTY_PART: "None at the moment.", "Ninguno por ahora.", "अभी कोई नहीं।";
    READY_BY: "Ready by {time}", "Listo para las {time}", "{time} तक तैयार";
    KEPT_UNTIL: "Kept until {time}", "Se guarda hasta {time}", "{time} तक रखा जाएगा";
    LINES_ONE: "{count} item", "{count} artículo", "{count} सामान";
    LINES_MORE: "{count} items", "{count} artículos", "{count} सामान";
    PROGRESS: "{done} of {all} picked", "{done} de {all} recogidos", "{all} में से {done} चुने";
    NO_NAME: "No name", "Sin nombre", "नाम नहीं";
    AT_RISK: "May be missing: look for it now", "Puede que falte: búsquelo ya", "शायद न मिले: अभी ढूँढें";

    STATUS_NEW: "New", "Nuevo", "नया";
    STATUS_ACCEPTED: "Taken on", "Aceptado", "लिया गया";
    STATUS_PICKING: "Being picked", "En recogida", "चुना जा रहा है";
    STATUS_READY: "Ready for the customer", "Listo para el cliente", "ग्राहक के लिए तैयार";
    STATUS_CANCELLING: "To be cancelled", "Por cancelar", "रद्द होना है";
    STATUS_COLLECTED: "Handed over", "Entregado", "सौंप दिया";
    STATUS_REFUSED: "Refused", "Rechazado", "मना किया";
    STATUS_CANCELLED: "Cancelled", "Cancelado", "रद्द";
    STATUS_EXPIRED: "Not collected", "No recogido", "लेने नहीं आए";
    STATUS_REROUTED: "Went to another store", "Pasó a otra tienda", "दूसरे स्टोर को गया";

    NEXT_START: "Start picking", "Empezar a recoger", "चुनना शुरू करें";
    NEXT_GO_ON: "Go on picking", "Seguir recogiendo", "चुनना जारी रखें";
    NEXT_HAND_OVER: "Hand over", "Entregar", "सौंपें";
    NEXT_STOP: "Stop and confirm", "Parar y confirmar", "रोकें और पक्का करें";
    NEXT_PUT_BACK: "Put back", "Devolver", "वापस रखें";
    NEXT_LOOK: "Look", "Ver", "देखें";
}
