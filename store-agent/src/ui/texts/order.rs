//! One order: what it is, what can be done with it, what became of what was done.

use super::texts;

texts! {
    TITLE: "Order {order}", "Pedido {order}", "ऑर्डर {order}";
    FOR: "For {name}", "Para {name}", "{name} के लिए";
    PHONE: "Phone {phone}", "Teléfono {phone}", "फ़ोन {phone}";
    LINES: "What goes into the bag", "Qué va en la bolsa", "थैले में क्या जाएगा";
    SCAN: "Scan or type a barcode", "Escanee o teclee un código de barras", "बारकोड स्कैन करें या लिखें";
    TICK: "Tick", "Marcar", "टिक करें";
    PICKED_OF: "{picked} of {ordered}", "{picked} de {ordered}", "{ordered} में से {picked}";
    SHORT_SOME: "{amount} missing: {why}", "Falta {amount}: {why}", "{amount} कम: {why}";
    ONE_MORE: "Pick 1", "Recoger 1", "1 चुनें";
    ALL_OF: "Pick all {amount}", "Recoger {amount}", "सब {amount} चुनें";
    AMOUNT: "Amount picked", "Cantidad recogida", "चुनी मात्रा";
    PICK_AMOUNT: "Pick this amount", "Recoger esta cantidad", "यह मात्रा चुनें";
    NOT_THERE: "Not there?", "¿No está?", "नहीं है?";
    HOW_MUCH: "How much is missing", "Cuánto falta", "कितना कम है";
    WHY: "Why", "Por qué", "क्यों";
    WHY_NOT_FOUND: "Not found", "No se encuentra", "नहीं मिला";
    WHY_NOT_FOUND_HINT: "The web stops offering it until somebody counts.", "La web deja de ofrecerlo hasta que alguien cuente.", "किसी के गिनने तक वेब पर नहीं बिकेगा।";
    WHY_DAMAGED: "Damaged", "Dañado", "खराब है";
    WHY_DAMAGED_HINT: "It is written off as waste.", "Se da de baja como merma.", "इसे बर्बाद माल में लिखा जाएगा।";
    WHY_WRONG_SHELF: "Out of reach, on a wrong shelf", "Fuera de alcance, en otro estante", "गलत शेल्फ़ पर, पहुँच से बाहर";
    WHY_WRONG_SHELF_HINT: "The stock stays as it is.", "Las existencias no cambian.", "स्टॉक वैसा ही रहेगा।";
    WHY_NOT_TAKEN: "The customer did not want it", "El cliente no lo quiso", "ग्राहक ने नहीं लिया";
    REPORT_SHORT: "Report as missing", "Avisar de que falta", "कमी दर्ज करें";

    MAKE_READY: "Ready for the customer", "Listo para el cliente", "ग्राहक के लिए तैयार";
    STILL_TO_PICK: "Pick or report every item first.", "Antes, recoja o avise de cada artículo.", "पहले हर सामान चुनें या उसकी कमी दर्ज करें।";
    READY_WHERE: "Put the bag where you keep pickups, with this number on it.", "Ponga la bolsa donde guardan los pedidos, con este número.", "थैले पर यह नंबर लिखकर पिकअप की जगह रखें।";
    REFUSE: "We can't do this order", "No podemos hacer este pedido", "यह ऑर्डर नहीं हो सकता";
    REFUSE_WHY: "Head office finds another store or tells the customer. Say why.", "La central busca otra tienda o avisa al cliente. Diga por qué.", "मुख्यालय दूसरा स्टोर ढूँढेगा या ग्राहक को बताएगा। कारण लिखें।";
    REASON: "Reason", "Motivo", "कारण";
    REFUSE_BUTTON: "Refuse the order", "Rechazar el pedido", "ऑर्डर मना करें";
    NOTHING_THERE: "Nothing of this order is there. Refuse it, so that somebody else can help the customer.", "No hay nada de este pedido. Rechácelo, para que otro pueda atender al cliente.", "इस ऑर्डर का कुछ भी नहीं है। इसे मना करें ताकि कोई और ग्राहक की मदद कर सके।";
    CANCEL_SHOPPER: "The customer has cancelled this order.", "El cliente ha cancelado este pedido.", "ग्राहक ने यह ऑर्डर रद्द किया है।";
    CANCEL_HEAD_OFFICE: "Head office has cancelled this order.", "La central ha cancelado este pedido.", "मुख्यालय ने यह ऑर्डर रद्द किया है।";
    CANCEL_EXPIRED: "Nobody came for this order in time.", "Nadie vino a tiempo por este pedido.", "इस ऑर्डर को लेने समय पर कोई नहीं आया।";
    CANCEL_REROUTED: "Another store has this order now.", "Ahora lo tiene otra tienda.", "अब यह ऑर्डर दूसरे स्टोर के पास है।";
    CANCEL_UNPAID: "This order could not be paid.", "Este pedido no se pudo cobrar.", "इस ऑर्डर का भुगतान नहीं हो सका।";
    CANCEL_WHAT: "Stop, and confirm. If the customer stands here with the goods, hand it over instead.", "Pare y confirme. Si el cliente está aquí con la mercancía, entréguela.", "रुकें और पक्का करें। ग्राहक माल लेकर यहीं खड़ा हो तो उसे सौंप दें।";
    ACKNOWLEDGE: "Confirm the cancellation", "Confirmar la cancelación", "रद्द होना पक्का करें";
    HAND_OVER_ANYWAY: "The customer is here", "El cliente está aquí", "ग्राहक यहीं है";
    PUT_BACK_WHAT: "Take these back to their shelves.", "Devuelva esto a sus estantes.", "ये सामान अपने शेल्फ़ पर वापस रखें।";
    PUT_BACK: "Everything is back", "Todo está devuelto", "सब वापस रख दिया";
    HAND_OVER: "Hand over", "Entregar", "सौंपें";
    HANDED_OVER_BY: "Handed over at {time} by {name}", "Entregado a las {time} por {name}", "{name} ने {time} पर सौंपा";
    PROOF_CODE: "on the signed code", "con el código firmado", "हस्ताक्षरित कोड पर";
    PROOF_SHORT_CODE: "on the short code", "con el código corto", "छोटे कोड पर";
    PROOF_PERSON: "after checking the person", "tras comprobar a la persona", "व्यक्ति को जाँचकर";
    PROOF_TILL: "at the till", "en la caja", "कैश काउंटर पर";
    UNDO: "It was not handed over after all", "Al final no se entregó", "असल में सौंपा नहीं गया";
    UNDO_UNTIL: "Can be taken back until {time}.", "Se puede deshacer hasta las {time}.", "{time} तक वापस लिया जा सकता है।";
    REFUSED_BECAUSE: "Refused at {time} by {name}: {reason}", "Rechazado a las {time} por {name}: {reason}", "{name} ने {time} पर मना किया: {reason}";
    ENDED_AT: "Ended at {time}", "Terminado a las {time}", "{time} पर समाप्त";
    NO_HUB_HALF: "This order was handed over on its code before it reached this store.", "Se entregó con su código antes de llegar a esta tienda.", "यह ऑर्डर स्टोर तक पहुँचने से पहले अपने कोड पर सौंपा गया।";
    LAST_BY: "Last change: {name}, {time}", "Último cambio: {name}, {time}", "आखिरी बदलाव: {name}, {time}";

    DID_ACCEPT: "Taken on.", "Aceptado.", "लिया गया।";
    DID_PICK: "{what}: in the bag.", "{what}: en la bolsa.", "{what}: थैले में।";
    DID_SHORT: "{what}: reported as missing.", "{what}: avisado que falta.", "{what}: कमी दर्ज हुई।";
    DID_READY: "Ready for the customer.", "Listo para el cliente.", "ग्राहक के लिए तैयार।";
    DID_HAND_OVER: "Handed over.", "Entregado.", "सौंप दिया।";
    DID_UNDO: "The handover is taken back.", "Entrega deshecha.", "सौंपना वापस लिया गया।";
    DID_REFUSE: "Refused.", "Rechazado.", "मना किया गया।";
    DID_ACKNOWLEDGE: "Cancellation confirmed.", "Cancelación confirmada.", "रद्द होना पक्का हुआ।";
    DID_PUT_BACK: "Everything is back on its shelf.", "Todo vuelve a su estante.", "सब अपने शेल्फ़ पर है।";

    NO_NOT_IN_ORDER: "Wrong item! {what} is not in this order. Put it back.", "¡Artículo equivocado! {what} no está en este pedido. Devuélvalo.", "गलत सामान! {what} इस ऑर्डर में नहीं है। वापस रखें।";
    NO_ENOUGH_ALREADY: "Enough of {what} is in the bag already.", "Ya hay bastante de {what} en la bolsa.", "{what} पहले ही पूरा थैले में है।";
    NO_TOO_MUCH: "That is more than the {what} still to pick.", "Es más de lo que falta: {what}.", "यह बाकी {what} से ज़्यादा है।";
    NO_AMOUNT: "Type an amount above zero, for example 1 or 0.5.", "Escriba una cantidad mayor que cero, por ejemplo 1 o 0.5.", "शून्य से बड़ी मात्रा लिखें, जैसे 1 या 0.5।";
    NO_MOVED_ON: "{what} was faster. This is the order as it is now.", "{what} fue más rápido. Así está ahora el pedido.", "{what} ने पहले कर दिया। ऑर्डर अब ऐसा है।";
    SOMEBODY: "Somebody else", "Otra persona", "किसी और";
    NO_CANCEL_WANTED: "The order is to be cancelled. Confirm that, or hand it over if the customer is here.", "El pedido se va a cancelar. Confírmelo, o entréguelo si el cliente está aquí.", "ऑर्डर रद्द होना है। पक्का करें, या ग्राहक यहीं हो तो सौंप दें।";
    NO_UNFINISHED: "Not every item is picked or reported as missing.", "Falta recoger o avisar de algún artículo.", "हर सामान न चुना गया है न कमी दर्ज हुई है।";
    NO_EMPTY: "Nothing of the order is there. Refuse it instead.", "No hay nada del pedido. Rechácelo.", "ऑर्डर का कुछ नहीं है। इसे मना करें।";
    NO_TOO_LATE: "Ten minutes are over. Take it back with a return at the till.", "Pasaron diez minutos. Haga una devolución en la caja.", "दस मिनट बीत गए। कैश काउंटर पर वापसी करें।";
    NO_RUNG_UP: "The till has rung it up. Take it back with a return at the till.", "Ya pasó por caja. Haga una devolución en la caja.", "यह कैश काउंटर पर चढ़ चुका है। वहीं वापसी करें।";
    NO_STAGE: "The order does not allow that any more. Look at how it stands now.", "El pedido ya no lo permite. Mire cómo está ahora.", "ऑर्डर में अब यह नहीं हो सकता। देखें अब वह कैसा है।";
    NO_STORAGE: "The store server's disk did not take it. Make room or call IT; nothing was changed.", "El disco del servidor no lo guardó. Haga sitio o llame a informática; nada cambió.", "स्टोर सर्वर की डिस्क ने नहीं लिया। जगह बनाएँ या आईटी को बुलाएँ; कुछ नहीं बदला।";
    NO_BUSY: "The store server did not answer in time. Look at the order before you do it again.", "El servidor no respondió a tiempo. Mire el pedido antes de repetir.", "स्टोर सर्वर ने समय पर जवाब नहीं दिया। दोबारा करने से पहले ऑर्डर देखें।";
    NO_REASON: "Say why, in a few words.", "Diga por qué, en pocas palabras.", "थोड़े शब्दों में कारण लिखें।";
    NO_UNREADABLE: "That is not a barcode or item number: {what}.", "Eso no es un código de barras ni un n.º de artículo: {what}.", "यह बारकोड या सामान संख्या नहीं है: {what}।";
    NO_OTHER: "That did not work: {what}", "No funcionó: {what}", "यह नहीं हुआ: {what}";
}
