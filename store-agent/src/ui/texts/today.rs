//! Today: what needs somebody now.

use super::texts;

texts! {
    TITLE: "Today", "Hoy", "आज";
    NEEDS_SOMEBODY: "Orders that need somebody", "Pedidos que necesitan a alguien", "जिन ऑर्डर पर किसी की ज़रूरत है";
    NONE_WAIT: "No order waits. A new one shows up here by itself, with a sound.", "Ningún pedido espera. Los nuevos aparecen aquí solos, con un sonido.", "कोई ऑर्डर बाकी नहीं। नया आते ही आवाज़ के साथ यहीं दिखेगा।";
    TO_COUNT: "To count", "Para contar", "गिनना है";
    NOTHING_TO_COUNT: "Nothing to count. Items that somebody could not find show up here.", "Nada que contar. Aquí aparece lo que alguien no encontró.", "गिनने को कुछ नहीं। जो सामान किसी को नहीं मिला वह यहाँ दिखता है।";
    MISSING: "{amount} not found, {age} ago", "{amount} sin encontrar, hace {age}", "{amount} नहीं मिला, {age} पहले";
    TO_COUNT_WHY: "The web does not offer these until somebody has counted.", "La web no los ofrece hasta que alguien cuente.", "जब तक कोई न गिने, वेब पर इन्हें नहीं बेचा जाता।";
    HEAD_OFFICE: "Head office", "Central", "मुख्यालय";
    LAST_ACCEPTED: "Head office last accepted our stock", "La central aceptó nuestras existencias por última vez", "मुख्यालय ने हमारा स्टॉक आखिरी बार कब स्वीकार किया";
    NOT_SINCE_START: "Not since this server started", "No desde que arrancó este servidor", "सर्वर चालू होने के बाद से नहीं";
    WAITING: "Changes that wait here", "Cambios que esperan aquí", "यहाँ रुके बदलाव";
    ALL_ORDERS: "All orders", "Todos los pedidos", "सभी ऑर्डर";
}
