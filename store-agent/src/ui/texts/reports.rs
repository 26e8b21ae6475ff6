//! Reports: how the store has done.

use super::texts;

texts! {
    TITLE: "Reports", "Informes", "रिपोर्ट";
    LAST_DAYS: "Last {count} days", "Últimos {count} días", "पिछले {count} दिन";
    SPAN: "How far back", "Periodo", "कितने दिन";
    NOTHING: "Nothing to report in these days.", "Nada que informar en estos días.", "इन दिनों में बताने को कुछ नहीं।";
    AS_TABLE: "As a table", "Como tabla", "तालिका में";
    DAY: "Day", "Día", "दिन";

    PICKUPS: "Pickup orders against their promise", "Pedidos frente a lo prometido", "वादे के मुकाबले पिकअप ऑर्डर";
    PICKUPS_SAID: "{on_time} of {count} were ready in time.", "{on_time} de {count} estuvieron listos a tiempo.", "{count} में से {on_time} समय पर तैयार हुए।";
    MEDIAN: "Half of them were ready within {age} of coming in.", "La mitad estuvo lista en {age} desde que entró.", "आधे ऑर्डर आने के {age} के भीतर तैयार हो गए।";
    ON_TIME: "In time", "A tiempo", "समय पर";
    LATE: "Late", "Tarde", "देर से";

    NOT_FOUND: "Not found", "No encontrado", "नहीं मिला";
    NOT_FOUND_SAID: "{missing} of {lines} order lines could not be found ({percent} %).", "{missing} de {lines} líneas de pedido no se encontraron ({percent} %).", "ऑर्डर की {lines} में से {missing} चीज़ें नहीं मिलीं ({percent} %)।";
    FOUND: "Found", "Encontrado", "मिला";
    LINES: "Order lines", "Líneas de pedido", "ऑर्डर की चीज़ें";

    SHRINK: "What was lost, and why", "Qué se perdió, y por qué", "क्या घटा, और क्यों";
    SHRINK_WHY: "Thrown away, adjusted down, and what counts found missing, in units.", "Desechado, ajustado a la baja y lo que faltó en recuentos, en unidades.", "फेंका, घटाया, और गिनती में कम मिला, इकाइयों में।";
    NO_REASON: "no reason given", "sin motivo", "कारण नहीं दिया";
    REASON: "Why", "Por qué", "क्यों";
    LOST: "Units", "Unidades", "इकाइयाँ";
    TIMES: "Times", "Veces", "बार";

    ACCURACY: "How right the books were", "Cuánto acertaron los libros", "बही कितनी सही थी";
    ACCURACY_SAID: "{right} of {count} counted shelves were as the books said ({percent} %).", "{right} de {count} estantes contados estaban como decían los libros ({percent} %).", "गिनी गई {count} शेल्फ़ में से {right} बही जैसी थीं ({percent} %)।";
    OFF_BY: "Together they were off by {units} units.", "En total se desviaron {units} unidades.", "कुल मिलाकर {units} इकाइयों का फ़र्क था।";
    RIGHT: "As in the books", "Como en los libros", "बही जैसी";
    WRONG: "Different", "Diferente", "अलग";
}
