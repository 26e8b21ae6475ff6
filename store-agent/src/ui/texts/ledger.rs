//! The ledger in words: kinds, reasons, sources; the movements screen and the audit trail.

use super::texts;

texts! {
    TITLE: "Movements", "Movimientos", "आवाजाही";
    WHY: "Everything that changed the stock, the newest first.", "Todo lo que cambió las existencias, lo más nuevo primero.", "स्टॉक बदलने वाली हर बात, सबसे नई पहले।";
    KIND: "What", "Qué", "क्या";
    KIND_SALE: "Sale", "Venta", "बिक्री";
    KIND_RETURN: "Return", "Devolución", "वापसी";
    KIND_RECEIPT: "Received", "Recepción", "माल आया";
    KIND_ADJUSTMENT: "Adjustment", "Ajuste", "सुधार";
    KIND_COUNT: "Count", "Recuento", "गिनती";
    KIND_WASTE: "Thrown away", "Desechado", "फेंका गया";
    KIND_TRANSFER_OUT: "To another store", "A otra tienda", "दूसरे स्टोर को";
    KIND_TRANSFER_IN: "From another store", "De otra tienda", "दूसरे स्टोर से";
    KIND_PICKUP: "Pickup order", "Pedido recogido", "पिकअप ऑर्डर";
    EVERYTHING: "All", "Todo", "सभी";
    WHEN: "When", "Cuándo", "कब";
    HAPPENED: "happened {time}", "ocurrió {time}", "हुआ {time}";
    ITEM: "Item number", "Número de artículo", "सामान संख्या";
    SOURCE: "From", "Origen", "कहाँ से";
    SOURCE_PAGE: "this page", "esta página", "यह पन्ना";
    SOURCE_PICKUP: "pickup orders", "pedidos", "पिकअप ऑर्डर";
    REASON: "Why", "Por qué", "क्यों";
    DAY: "Day", "Día", "दिन";
    CHANGE: "Change", "Cambio", "बदलाव";
    COUNTED: "counted {amount}", "contado {amount}", "गिना {amount}";
    FILTER: "Show", "Mostrar", "दिखाएँ";
    FILTERS: "Choose what to show", "Elegir qué mostrar", "क्या दिखाना है चुनें";
    NO_FILTER: "Show everything", "Mostrar todo", "सब दिखाएँ";
    NONE: "Nothing like that is in the ledger.", "No hay nada así en el registro.", "बही में ऐसा कुछ नहीं है।";
    CUT: "Looked back to line {position}. There may be older ones.", "Se buscó hasta la línea {position}. Puede haber más antiguos.", "पंक्ति {position} तक देखा गया। और पुराने हो सकते हैं।";
    OLDER: "Older", "Más antiguos", "पुराने";
    NEWEST: "Back to the newest", "Volver a lo más nuevo", "सबसे नए पर लौटें";
    EXPORT: "As a file for a spreadsheet", "Como archivo para hoja de cálculo", "स्प्रेडशीट फ़ाइल के रूप में";
    EXPORT_WHY: "All that the choice above lets through, as CSV.", "Todo lo que deja pasar la selección de arriba, en CSV.", "ऊपर चुने गए सभी, सीएसवी में।";
    NO_SUCH_DAY: "Write the day as year-month-day, such as 2026-11-23.", "Escriba el día como año-mes-día, por ejemplo 2026-11-23.", "दिन को साल-महीना-तारीख लिखें, जैसे 2026-11-23।";

    AUDIT: "Who did what", "Quién hizo qué", "किसने क्या किया";
    AUDIT_WHY: "Everything done on this page, with who, where and what became of it. It cannot be changed.", "Todo lo hecho en esta página: quién, dónde y qué resultó. No se puede cambiar.", "इस पन्ने पर किया गया सब कुछ: किसने, कहाँ, क्या हुआ। इसे बदला नहीं जा सकता।";
    AUDIT_NONE: "Nothing like that was done.", "No se hizo nada así.", "ऐसा कुछ नहीं किया गया।";
    PERSON: "Who", "Quién", "किसने";
    DEVICE: "Where", "Dónde", "कहाँ";
    SUBJECT: "To what", "Sobre qué", "किस पर";
    OUTCOME: "What became of it", "Resultado", "नतीजा";
    OUTCOME_DONE: "done", "hecho", "हो गया";
    OUTCOME_REFUSED: "refused", "rechazado", "नहीं हुआ";
    OUTCOME_BEGUN: "not known", "no se sabe", "पता नहीं";
    ACT_ADJUSTMENT: "adjust stock", "ajustar existencias", "स्टॉक ठीक करना";
    ACT_RECEIPT: "receive goods", "recibir mercancía", "माल लेना";
    ACT_WASTE: "throw away", "desechar", "फेंकना";
    ACT_TRANSFER_IN: "take in from another store", "recibir de otra tienda", "दूसरे स्टोर से लेना";
    ACT_TRANSFER_OUT: "send to another store", "enviar a otra tienda", "दूसरे स्टोर को भेजना";
    ACT_COUNT: "count", "contar", "गिनना";
    ACT_RETRY: "try a set-aside record again", "reintentar un registro apartado", "अलग रखा रिकॉर्ड फिर आज़माना";
    ACT_PAUSE: "pause web sales", "poner en pausa internet", "वेब बिक्री रोकना";
    ACT_RESUME: "resume web sales", "reanudar internet", "वेब बिक्री फिर शुरू करना";
    ACT_EXPORT: "take a file of movements", "sacar un archivo de movimientos", "आवाजाही की फ़ाइल लेना";
    ACT_EXPORT_AUDIT: "take a file of this list", "sacar un archivo de esta lista", "इस सूची की फ़ाइल लेना";
}
