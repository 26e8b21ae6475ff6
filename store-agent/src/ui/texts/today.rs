//! Today: what needs somebody now.

use super::texts;

texts! {
    TITLE: "Today", "Hoy", "आज";
    NEEDS_SOMEBODY: "Orders that need somebody", "Pedidos que necesitan a alguien", "जिन ऑर्डर पर किसी की ज़रूरत है";
    NONE_WAIT: "No order waits. A new one shows up here by itself, with a sound.", "Ningún pedido espera. Los nuevos aparecen aquí solos, con un sonido.", "कोई ऑर्डर बाकी नहीं। नया आते ही आवाज़ के साथ यहीं दिखेगा।";
    TO_COUNT: "To count", "Para contar", "गिनना है";
    NOTHING_TO_COUNT: "Nothing to count. What somebody could not find shows up here, and what head office asks for.", "Nada que contar. Aquí aparece lo que alguien no encontró y lo que pide la central.", "गिनने को कुछ नहीं। जो किसी को नहीं मिला और जो मुख्यालय माँगे, वह यहाँ दिखता है।";
    COUNT: "Count", "Contar", "गिनें";
    COUNT_ALL: "All that is to be counted", "Todo lo que hay que contar", "जो कुछ गिनना है, सब";
    HEAD_OFFICE: "Head office", "Central", "मुख्यालय";
    LAST_ACCEPTED: "Head office last accepted our stock", "La central aceptó nuestras existencias por última vez", "मुख्यालय ने हमारा स्टॉक आखिरी बार कब स्वीकार किया";
    NOT_SINCE_START: "Not since this server started", "No desde que arrancó este servidor", "सर्वर चालू होने के बाद से नहीं";
    WAITING: "Changes that wait here", "Cambios que esperan aquí", "यहाँ रुके बदलाव";
    ALL_ORDERS: "All orders", "Todos los pedidos", "सभी ऑर्डर";
}
