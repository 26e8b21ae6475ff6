//! Counting shelves.

use super::texts;

texts! {
    TITLE: "Count", "Contar", "गिनती";
    BEGIN: "What is in front of you?", "¿Qué tiene delante?", "आपके सामने क्या है?";
    BEGIN_LABEL: "Scan the item, or type its number or barcode", "Escanee el artículo o escriba su número o código", "सामान स्कैन करें, या उसकी संख्या या बारकोड लिखें";
    BEGIN_BUTTON: "Begin to count", "Empezar a contar", "गिनना शुरू करें";
    BY_NAME: "Find it by name", "Buscarlo por nombre", "नाम से खोजें";
    TASKS: "To count", "Para contar", "गिनना है";
    NO_TASKS: "Nothing has to be counted. Head office can ask for a count, and items that could not be found show up here.", "No hay nada que contar. La central puede pedir un recuento, y aquí aparece lo que no se encontró.", "गिनने को कुछ नहीं है। मुख्यालय गिनती माँग सकता है, और न मिला सामान यहाँ दिखता है।";
    TASKS_FIRST: "The {count} that have waited longest. There are more.", "Los {count} que más tiempo esperan. Hay más.", "सबसे देर से रुके {count}। और भी हैं।";
    WAITS_SINCE: "for {age}", "desde hace {age}", "{age} से";
    WHY_NOT_FOUND: "Somebody could not find it for an order.", "Alguien no lo encontró para un pedido.", "ऑर्डर के लिए किसी को नहीं मिला।";
    WHY_NOT_FOUND_FOR: "Somebody could not find it for order {order}.", "Alguien no lo encontró para el pedido {order}.", "ऑर्डर {order} के लिए किसी को नहीं मिला।";
    WHY_HEAD_OFFICE: "Head office asks for it.", "Lo pide la central.", "मुख्यालय ने माँगा है।";
    WHY_BREACH_SALE: "A till sold what an order was promised.", "Una caja vendió lo prometido a un pedido.", "ऑर्डर के लिए पक्का सामान काउंटर पर बिक गया।";
    WHY_BREACH_COUNT: "A count found fewer than orders were promised.", "Un recuento encontró menos de lo prometido a pedidos.", "गिनती में ऑर्डर के लिए पक्के से कम मिला।";
    WHY_BREACH_OTHER: "Orders are promised more than the books say is there.", "Hay prometido a pedidos más de lo que dicen los libros.", "बही में जितना है, ऑर्डर के लिए उससे ज़्यादा पक्का है।";
    WHY_UNKNOWN: "For a reason that this version does not know.", "Por un motivo que esta versión no conoce.", "ऐसे कारण से जो यह संस्करण नहीं जानता।";
    WAITING: "Wait for a manager", "Esperan a un encargado", "प्रबंधक का इंतज़ार";
    COUNTING: "Being counted", "En recuento", "गिने जा रहे हैं";
    BY: "{person}, since {time}", "{person}, desde {time}", "{person}, {time} से";
    OPEN: "Open", "Abrir", "खोलें";

    SHEET: "Count: {name}", "Contar: {name}", "गिनें: {name}";
    BLIND: "Blind count: what the books expect is not shown.", "Recuento a ciegas: no se muestra lo que esperan los libros.", "अंध गिनती: बही में कितना है, नहीं दिखाया जाता।";
    EXPECTED: "The books expect {amount}.", "Los libros esperan {amount}.", "बही के अनुसार {amount} होना चाहिए।";
    SINCE: "Counting since {time}. Sales meanwhile are kept right.", "Contando desde {time}. Las ventas mientras tanto se tienen en cuenta.", "{time} से गिनती। इस बीच की बिक्री का हिसाब सही रहता है।";
    LONG_AGO: "This count was begun {age} ago. If the shelf has changed since, begin again.", "Este recuento empezó hace {age}. Si el estante ha cambiado, empiece de nuevo.", "यह गिनती {age} पहले शुरू हुई। शेल्फ़ बदला हो तो फिर शुरू करें।";
    OTHERS: "{person} is counting this too, since {time}. Speak to each other; the later of two counts is kept.", "{person} también lo está contando desde {time}. Hablen; vale el recuento posterior.", "{person} भी इसे {time} से गिन रहे हैं। आपस में बात करें; बाद वाली गिनती मानी जाएगी।";
    FOUND: "How many are here", "Cuántos hay aquí", "यहाँ कितने हैं";
    FOUND_UNIT: "How much is here, in {unit}", "Cuánto hay aquí, en {unit}", "यहाँ कितना है, {unit} में";
    PLACE: "Where, if in several places", "Dónde, si hay varios sitios", "कहाँ, अगर कई जगह हो";
    ADD: "Add", "Añadir", "जोड़ें";
    ENTRIES: "Found so far", "Encontrado hasta ahora", "अब तक मिला";
    NO_ENTRIES: "Nothing entered yet. Type what is on the shelf, or scan each piece. Type 0 if it is empty.", "Nada anotado todavía. Escriba lo que hay en el estante o escanee cada pieza. Escriba 0 si está vacío.", "अभी कुछ दर्ज नहीं। शेल्फ़ पर जितना है लिखें, या हर नग स्कैन करें। खाली हो तो 0 लिखें।";
    REMOVE: "Take out {amount}", "Quitar {amount}", "{amount} हटाएँ";
    TOTAL: "Together {amount}", "En total {amount}", "कुल {amount}";
    SCANNED: "scanned", "escaneado", "स्कैन";
    FINISH: "That is all", "Eso es todo", "बस इतना ही";
    AGAIN: "Count again from the start", "Contar otra vez desde el principio", "शुरू से फिर गिनें";
    ASK_AGAIN: "Ask for a recount", "Pedir otro recuento", "फिर गिनवाएँ";
    GIVE_UP: "Stop counting this", "Dejar de contarlo", "गिनना छोड़ें";
    OTHER_ITEM: "That is not this item: {name} ({sku}).", "No es este artículo: {name} ({sku}).", "यह वह सामान नहीं है: {name} ({sku})।";
    UNKNOWN_CODE: "No item has the code {code}.", "Ningún artículo tiene el código {code}.", "कोड {code} का कोई सामान नहीं है।";
    COUNT_OTHER: "Count that instead", "Contar ese", "इसके बदले वह गिनें";
    NO_QUANTITY: "Type what is there, such as 3 or 1.5, or 0 for nothing.", "Escriba lo que hay, por ejemplo 3 o 1,5, o 0 si no hay nada.", "जितना है लिखें, जैसे 3 या 1.5, कुछ न हो तो 0।";
    LONG_PLACE: "The place is too long. A few words are enough.", "El lugar es demasiado largo. Bastan unas palabras.", "जगह का नाम बहुत लंबा है। कुछ शब्द काफ़ी हैं।";
    NOT_ENTERED: "This count takes no more entries. It is over, or full.", "Este recuento no admite más. Ha terminado o está lleno.", "यह गिनती और नहीं लेती। पूरी हो चुकी है या भर गई है।";

    COUNTED: "Counted", "Contado", "गिना";
    EXPECTED_NAME: "The books expected", "Los libros esperaban", "बही के अनुसार";
    VARIANCE: "Difference", "Diferencia", "अंतर";
    RIGHT: "The books were right.", "Los libros tenían razón.", "बही सही थी।";
    FEWER: "{amount} fewer than expected", "{amount} menos de lo esperado", "उम्मीद से {amount} कम";
    MORE: "{amount} more than expected", "{amount} más de lo esperado", "उम्मीद से {amount} ज़्यादा";
    RECORDED: "The count is in the books.", "El recuento está en los libros.", "गिनती बही में दर्ज है।";
    TOO_LATE: "Somebody has counted this shelf after you began. That count stands; yours changes nothing.", "Alguien contó este estante después de que usted empezara. Vale ese recuento; el suyo no cambia nada.", "आपके शुरू करने के बाद किसी ने यह शेल्फ़ गिन लिया। वही गिनती मानी जाएगी; आपकी से कुछ नहीं बदलेगा।";
    WAITS: "It differs by more than {amount}, so a manager has to look at it. What you entered is kept.", "La diferencia es mayor que {amount}; un encargado tiene que verlo. Lo anotado se conserva.", "अंतर {amount} से ज़्यादा है, इसलिए प्रबंधक देखेंगे। आपका लिखा सुरक्षित है।";
    WAITS_BLIND: "A manager has to look at this count. What you entered is kept.", "Un encargado tiene que ver este recuento. Lo anotado se conserva.", "इस गिनती को प्रबंधक देखेंगे। आपका लिखा सुरक्षित है।";
    APPROVE: "Approve", "Aprobar", "मंज़ूर करें";
    GIVEN_UP: "Nobody counts this any more. Nothing was changed.", "Ya nadie lo cuenta. No cambió nada.", "अब इसे कोई नहीं गिन रहा। कुछ नहीं बदला।";
    NOT_SAVED: "The store server did not take the count. What you entered is kept; try again.", "El servidor no aceptó el recuento. Lo anotado se conserva; pruebe otra vez.", "सर्वर ने गिनती नहीं ली। आपका लिखा सुरक्षित है; फिर कोशिश करें।";
    NEXT: "Count something else", "Contar otra cosa", "कुछ और गिनें";
    TO_ITEM: "To the item", "Al artículo", "सामान पर जाएँ";
}
