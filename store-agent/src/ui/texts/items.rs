//! Items: finding one, and all about it.

use super::texts;

texts! {
    TITLE: "Items", "Artículos", "सामान";
    SEARCH: "Name, item number or barcode", "Nombre, número o código de barras", "नाम, सामान संख्या या बारकोड";
    SEARCH_BUTTON: "Search", "Buscar", "खोजें";
    SEARCH_HINT: "Accents and capitals do not matter. Scanning a barcode opens the item at once.", "No importan tildes ni mayúsculas. Al escanear un código se abre el artículo.", "बारकोड स्कैन करते ही सामान खुल जाता है।";
    FOUND_ONE: "{count} item", "{count} artículo", "{count} सामान";
    FOUND_MORE: "{count} items", "{count} artículos", "{count} सामान मिले";
    FOUND_FIRST: "The first {count} items. Type more letters to see fewer.", "Los primeros {count} artículos. Escriba más letras para ver menos.", "पहले {count} सामान। कम देखने के लिए और अक्षर लिखें।";
    FOUND_NONE: "No item has “{text}” in its name or number. Check the spelling, or scan its barcode.", "Ningún artículo tiene «{text}» en su nombre o número. Revise la ortografía o escanee el código.", "किसी सामान के नाम या संख्या में «{text}» नहीं है। वर्तनी देखें या बारकोड स्कैन करें।";
    UNKNOWN_CODE: "No item has the code {code}.", "Ningún artículo tiene el código {code}.", "कोड {code} का कोई सामान नहीं है।";
    NO_ITEMS: "This store has no items yet. They come from the tills and from the shop's item list.", "Esta tienda todavía no tiene artículos. Llegan de las cajas y de la lista de artículos.", "इस स्टोर में अभी कोई सामान नहीं है। वे बिलिंग काउंटर और सामान सूची से आते हैं।";
    NEXT: "Next", "Siguientes", "अगले";
    NAME: "Item", "Artículo", "सामान";
    UNNAMED: "Nobody has named this item yet.", "Nadie ha puesto nombre a este artículo todavía.", "इस सामान को अभी किसी ने नाम नहीं दिया है।";
    BARCODES: "Barcodes: {codes}", "Códigos de barras: {codes}", "बारकोड: {codes}";

    ON_HAND: "On hand", "Existencias", "मौजूद";
    SET_ASIDE: "Set aside for the web", "Apartado para internet", "वेब के लिए अलग";
    PROMISED: "Promised to orders", "Prometido a pedidos", "ऑर्डर के लिए पक्का";
    FREE: "The web can still sell", "Internet aún puede vender", "वेब अभी और बेच सकता है";

    WEB_SEES: "What the web sees, and why", "Qué ve internet, y por qué", "वेब क्या देखता है, और क्यों";
    WEB_SEES_NUMBER: "The web sees {amount}.", "Internet ve {amount}.", "वेब को {amount} दिखता है।";
    WEB_SEES_NOTHING: "The web sees nothing of this store.", "Internet no ve nada de esta tienda.", "वेब को इस स्टोर का कुछ नहीं दिखता।";
    WHY_NONE: "The books say {on_hand} on hand, so nothing more is set aside for the web.", "Los libros dicen {on_hand}, así que no se aparta nada más para internet.", "बही में {on_hand} है, इसलिए वेब के लिए और कुछ अलग नहीं रखा जाता।";
    WHY_ALL: "The books say {on_hand} on hand, and nothing needs to be kept for walk-in customers.", "Los libros dicen {on_hand}, y no hace falta guardar nada para los clientes de la tienda.", "बही में {on_hand} है, और दुकान के ग्राहकों के लिए कुछ बचाना ज़रूरी नहीं।";
    WHY_KEPT: "The books say {on_hand} on hand; {kept} are kept for walk-in customers.", "Los libros dicen {on_hand}; {kept} se guardan para los clientes de la tienda.", "बही में {on_hand} है; {kept} दुकान के ग्राहकों के लिए रखा है।";
    WHY_KEPT_ALL: "The books say {on_hand} on hand; all of it is kept for walk-in customers.", "Los libros dicen {on_hand}; todo se guarda para los clientes de la tienda.", "बही में {on_hand} है; पूरा दुकान के ग्राहकों के लिए रखा है।";
    WHY_SET_ASIDE: "{claim} are set aside for the web; of them it can still sell {free}.", "{claim} están apartados para internet; de ellos aún puede vender {free}.", "{claim} वेब के लिए अलग है; उसमें से {free} और बिक सकता है।";
    WHY_PROMISED: "{claim} are set aside for the web, {open} of them promised to orders; it can still sell {free}.", "{claim} están apartados para internet, {open} de ellos prometidos a pedidos; aún puede vender {free}.", "{claim} वेब के लिए अलग है, उसमें से {open} ऑर्डर के लिए पक्का है; {free} और बिक सकता है।";
    WHY_ASKED_BACK: "{amount} of those were asked back. They count for the web until head office confirms.", "Se han reclamado {amount} de ellos. Cuentan para internet hasta que la central lo confirme.", "उनमें से {amount} वापस माँगे गए हैं। मुख्यालय की पुष्टि तक वे वेब के ही रहेंगे।";
    WHY_SHORT: "Short by {amount}: more has left the shelf than was free beside the web's part. Count it now.", "Faltan {amount}: ha salido más de lo que quedaba libre junto a la parte de internet. Cuéntelo ahora.", "{amount} कम है: वेब के हिस्से के बाद जितना बचा था, उससे ज़्यादा निकल गया। अभी गिनें।";
    WHY_NO_HUB: "This store works on its own, without head office.", "Esta tienda trabaja sin central.", "यह स्टोर मुख्यालय के बिना काम करता है।";
    WHY_NEVER: "Head office has never heard from this store.", "La central nunca ha tenido noticias de esta tienda.", "मुख्यालय ने इस स्टोर से कभी कुछ नहीं सुना।";
    WHY_ON_THE_WAY: "The last change is on its way; until then the web goes by the number before.", "El último cambio está en camino; hasta entonces internet usa la cifra anterior.", "पिछला बदलाव रास्ते में है; तब तक वेब पुरानी संख्या मानता है।";
    WHY_SILENT: "Head office has not been heard for {age}.", "La central lleva {age} sin dar señales.", "{age} से मुख्यालय से कुछ नहीं सुना।";
    WHY_SILENT_EVER: "Head office has not been heard since this server started.", "La central no ha dado señales desde que arrancó este servidor.", "सर्वर चालू होने के बाद मुख्यालय से कुछ नहीं सुना।";
    WHY_NOT_REACHED: "What has changed since has not reached the web.", "Lo que ha cambiado desde entonces no ha llegado a internet.", "उसके बाद का बदलाव वेब तक नहीं पहुँचा।";
    WHY_PAUSED: "Besides, web sales as a whole:", "Además, las ventas por internet en general:", "इसके अलावा, कुल वेब बिक्री:";

    TO_COUNT: "This item is to be counted.", "Hay que contar este artículo.", "यह सामान गिनना है।";
    COUNT: "Count this item", "Contar este artículo", "यह सामान गिनें";
    CHANGE_STOCK: "Change the stock", "Cambiar las existencias", "स्टॉक बदलें";
    NEEDS_MANAGER: "A manager has to approve it with their PIN.", "Un encargado tiene que aprobarlo con su PIN.", "प्रबंधक को अपने पिन से मंज़ूर करना होगा।";
    RECEIVE: "Receive", "Recibir", "माल आया";
    WASTE: "Throw away", "Desechar", "फेंकना";
    TRANSFER_IN: "From another store", "De otra tienda", "दूसरे स्टोर से";
    TRANSFER_OUT: "To another store", "A otra tienda", "दूसरे स्टोर को";
    ADJUST: "Adjust", "Ajustar", "ठीक करें";
    QUANTITY: "How many", "Cuántos", "कितने";
    QUANTITY_UNIT: "How much, in {unit}", "Cuánto, en {unit}", "कितना, {unit} में";
    DIRECTION: "More or fewer than the books say", "Más o menos de lo que dicen los libros", "बही से ज़्यादा या कम";
    MORE: "There are more", "Hay más", "ज़्यादा है";
    FEWER: "There are fewer", "Hay menos", "कम है";
    REASON: "Why", "Por qué", "क्यों";
    REASON_CHOOSE: "Choose", "Elija", "चुनें";
    REASON_MORE: "In your words, if it helps", "Con sus palabras, si ayuda", "चाहें तो अपने शब्दों में";
    WHICH_STORE: "Which store", "Qué tienda", "कौन सा स्टोर";
    DELIVERY: "Delivery note, if there is one", "Albarán, si lo hay", "डिलीवरी नोट, अगर हो";
    REASON_DAMAGED: "Damaged", "Dañado", "टूटा-फूटा";
    REASON_EXPIRED: "Past its date", "Caducado", "तारीख निकल गई";
    REASON_SPOILED: "Spoiled", "Estropeado", "खराब हो गया";
    REASON_STOLEN: "Stolen", "Robado", "चोरी";
    REASON_OWN_USE: "Used in the store", "Uso propio", "स्टोर में इस्तेमाल";
    REASON_FOUND: "Found again", "Encontrado", "फिर मिल गया";
    REASON_MISTAKE: "Entered wrongly before", "Error al anotar", "पहले गलत दर्ज हुआ";
    REASON_OTHER: "Something else", "Otro motivo", "कुछ और";

    ORDERS: "Orders that want it", "Pedidos que lo quieren", "जिन ऑर्डर में यह चाहिए";
    NO_ORDERS: "No order waits for it.", "Ningún pedido lo espera.", "किसी ऑर्डर को इसकी ज़रूरत नहीं।";
    WANTED: "{amount} wanted", "Pide {amount}", "{amount} चाहिए";
    HISTORY: "What happened lately", "Qué pasó últimamente", "हाल में क्या हुआ";
    NO_HISTORY: "Nothing has happened yet.", "Todavía no ha pasado nada.", "अभी तक कुछ नहीं हुआ।";
    ALL_HISTORY: "All movements of this item", "Todos los movimientos de este artículo", "इस सामान की पूरी आवाजाही";

    DID_RECEIVE: "Received: {amount}", "Recibido: {amount}", "आया: {amount}";
    DID_WASTE: "Thrown away: {amount}", "Desechado: {amount}", "फेंका: {amount}";
    DID_TRANSFER_IN: "Came from another store: {amount}", "Llegó de otra tienda: {amount}", "दूसरे स्टोर से आया: {amount}";
    DID_TRANSFER_OUT: "Sent to another store: {amount}", "Enviado a otra tienda: {amount}", "दूसरे स्टोर को भेजा: {amount}";
    DID_ADJUST: "Adjusted by {amount}", "Ajustado en {amount}", "{amount} से ठीक किया";
    DID_COUNT: "Counted: {amount}", "Contado: {amount}", "गिना: {amount}";
    NO_QUANTITY: "Type a quantity above nothing, such as 3 or 1.5, without marks between thousands.", "Escriba una cantidad mayor que cero, como 3 o 1,5, sin separar los millares.", "शून्य से ज़्यादा मात्रा लिखें, जैसे 3 या 1.5, हज़ार के बीच निशान के बिना।";
    NO_REASON: "Say why: choose a reason, or write a few words.", "Diga por qué: elija un motivo o escriba unas palabras.", "कारण बताएँ: चुनें या कुछ शब्द लिखें।";
    LONG_REASON: "The reason is too long. A few words are enough.", "El motivo es demasiado largo. Bastan unas palabras.", "कारण बहुत लंबा है। कुछ शब्द काफ़ी हैं।";
    AT_ITS_BOUND: "The store server did not take this quantity. Check it, and try again.", "El servidor no aceptó esta cantidad. Revísela y pruebe otra vez.", "सर्वर ने यह मात्रा नहीं ली। जाँचकर फिर कोशिश करें।";
    NOT_SAVED: "The disk did not take it. Nothing was recorded; try again.", "El disco no lo aceptó. No se anotó nada; pruebe otra vez.", "डिस्क ने नहीं लिया। कुछ दर्ज नहीं हुआ; फिर कोशिश करें।";
}
