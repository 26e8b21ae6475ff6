//! Handing over at the counter.

use super::texts;

texts! {
    TITLE: "Hand over", "Entregar", "सौंपना";
    SCAN: "Scan the customer's code, or type the order number", "Escanee el código del cliente o teclee el número de pedido", "ग्राहक का कोड स्कैन करें या ऑर्डर नंबर लिखें";
    SCAN_HINT: "The code is on the customer's phone or in their e-mail. It works with the line down too.", "El código está en el teléfono o el correo del cliente. Funciona también sin línea.", "कोड ग्राहक के फ़ोन या ई-मेल में है। लाइन न हो तब भी चलता है।";
    FIND: "Find", "Buscar", "ढूँढें";
    WAITING: "Ready for the customer", "Listos para el cliente", "ग्राहक के लिए तैयार";
    NONE_WAITING: "Nothing is ready. Orders show up here once they are picked.", "No hay nada listo. Los pedidos aparecen aquí al estar recogidos.", "कुछ तैयार नहीं। चुने जाने पर ऑर्डर यहाँ दिखेंगे।";
    TO: "Hand over to {name}", "Entregar a {name}", "{name} को सौंपें";
    TO_NOBODY: "Hand over", "Entregar", "सौंपें";
    IN_THE_BAG: "In the bag", "En la bolsa", "थैले में";
    NOT_PICKED: "Not picked yet: fetch it now.", "Aún sin recoger: vaya a buscarlo.", "अभी चुना नहीं: अब ले आएँ।";
    SHORT_CODE: "Short code", "Código corto", "छोटा कोड";
    SHORT_CODE_HINT: "Eight letters and digits, for example 7KQ2-M9XT. The customer reads it out.", "Ocho letras y cifras, por ejemplo 7KQ2-M9XT. El cliente lo dice.", "आठ अक्षर और अंक, जैसे 7KQ2-M9XT। ग्राहक पढ़कर बताता है।";
    GIVE: "Hand over", "Entregar", "सौंप दें";
    NO_CODE: "No code?", "¿Sin código?", "कोड नहीं है?";
    NO_CODE_WHY: "Look at an identity card, or be sure you know the person. Your name goes on record.", "Mire un documento, o esté seguro de conocer a la persona. Su nombre queda registrado.", "पहचान पत्र देखें, या पक्का हो कि व्यक्ति को जानते हैं। आपका नाम दर्ज होगा।";
    ON_WORD: "I have checked the person: hand over", "He comprobado a la persona: entregar", "मैंने व्यक्ति जाँच लिया: सौंप दें";
    COLLECTED_BY: "Who collects it, if somebody else", "Quién lo recoge, si es otra persona", "कोई और ले रहा हो तो कौन";
    CODE_GOOD: "The code is good.", "El código es correcto.", "कोड सही है।";
    UNKNOWN_ORDER: "This order has not reached the store yet; the code alone is enough.", "Este pedido aún no ha llegado a la tienda; basta el código.", "यह ऑर्डर अभी स्टोर तक नहीं पहुँचा; कोड ही काफ़ी है।";

    NO_CODE_FITS: "That is neither a pickup code nor an order number. Scan it again, or type the number.", "No es un código de recogida ni un número de pedido. Escanéelo otra vez o teclee el número.", "यह न पिकअप कोड है न ऑर्डर नंबर। फिर स्कैन करें या नंबर लिखें।";
    NO_SUCH_ORDER: "This store has no order {what}. Scan the customer's signed code, or look where it was sent.", "Esta tienda no tiene el pedido {what}. Escanee el código firmado del cliente o mire adónde se envió.", "इस स्टोर में ऑर्डर {what} नहीं है। ग्राहक का हस्ताक्षरित कोड स्कैन करें या देखें कहाँ भेजा गया।";
    NO_WRONG_CODE: "That is not this order's code. Compare number and code with what the customer shows. {what} more tries.", "Ese no es el código de este pedido. Compárelo con lo que muestra el cliente. Quedan {what} intentos.", "यह इस ऑर्डर का कोड नहीं है। ग्राहक के दिखाए नंबर और कोड से मिलाएँ। {what} कोशिशें बाकी।";
    NO_BLOCKED: "Too many wrong codes for this order. Scan the signed code, check the person, or wait {what} min.", "Demasiados códigos incorrectos. Escanee el código firmado, compruebe a la persona o espere {what} min.", "इस ऑर्डर पर बहुत गलत कोड डाले गए। हस्ताक्षरित कोड स्कैन करें, व्यक्ति जाँचें या {what} मिनट रुकें।";
    NO_SHORT_CODE: "The short code is not known here yet. Scan the signed code.", "El código corto aún no se conoce aquí. Escanee el código firmado.", "छोटा कोड अभी यहाँ मालूम नहीं। हस्ताक्षरित कोड स्कैन करें।";
    NO_NOT_A_CODE: "A short code has eight letters and digits, like 7KQ2-M9XT.", "Un código corto tiene ocho letras y cifras, como 7KQ2-M9XT.", "छोटे कोड में आठ अक्षर और अंक होते हैं, जैसे 7KQ2-M9XT।";
    NO_FORGED: "Head office has not signed this code. Hand nothing over.", "La central no ha firmado este código. No entregue nada.", "इस कोड पर मुख्यालय के हस्ताक्षर नहीं हैं। कुछ न सौंपें।";
    NO_OTHER_STORE: "This code is for store {what}. Send the customer there.", "Este código es de la tienda {what}. Envíe allí al cliente.", "यह कोड स्टोर {what} का है। ग्राहक को वहाँ भेजें।";
    NO_EXPIRED: "This code is no longer good. The order was kept until then.", "Este código ya no vale. El pedido se guardó hasta entonces.", "यह कोड अब नहीं चलता। ऑर्डर तब तक ही रखा गया था।";
    NO_USED: "This order has been handed over already.", "Este pedido ya se ha entregado.", "यह ऑर्डर पहले ही सौंपा जा चुका है।";
    NO_NEWER: "This code is of a newer kind. Have the store server upgraded; ask for the short code.", "Este código es de un tipo más nuevo. Pida el código corto y que actualicen el servidor.", "यह कोड नई किस्म का है। छोटा कोड माँगें और सर्वर अपडेट कराएँ।";
    NO_ANOTHER_ORDER: "This code is for another order. Go back and scan it there.", "Este código es de otro pedido. Vuelva y escanéelo allí.", "यह कोड दूसरे ऑर्डर का है। वापस जाकर वहाँ स्कैन करें।";
    NO_KEY: "This store can't check signed codes. Ask for the short code.", "Esta tienda no puede comprobar códigos firmados. Pida el código corto.", "यह स्टोर हस्ताक्षरित कोड नहीं जाँच सकता। छोटा कोड माँगें।";
    NO_UNKNOWN_ITEM: "The code names an item this store does not have. Ask head office.", "El código nombra un artículo que esta tienda no tiene. Pregunte a la central.", "कोड में ऐसा सामान है जो इस स्टोर में नहीं। मुख्यालय से पूछें।";
}
