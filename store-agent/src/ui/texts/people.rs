//! People and devices: who works here, which screens are let in, who is signed in where.

use super::texts;

texts! {
    STAFF: "People", "Personas", "लोग";
    ADD_PERSON: "Add a person", "Añadir una persona", "व्यक्ति जोड़ें";
    NAME: "Name", "Nombre", "नाम";
    ROLE: "What they do", "Función", "भूमिका";
    ROLE_HINT: "An associate works on orders. A manager may do everything. IT looks after screens and connections.", "Un empleado atiende pedidos. Un encargado puede hacerlo todo. Informática cuida pantallas y conexiones.", "सहयोगी ऑर्डर पर काम करता है। प्रबंधक सब कर सकता है। आईटी स्क्रीन और कनेक्शन देखता है।";
    FIRST_PIN: "Their PIN: let them type it themselves", "Su PIN: que lo teclee la persona", "उनका पिन: वे खुद डालें";
    ADD: "Add", "Añadir", "जोड़ें";
    CHANGE: "Change", "Cambiar", "बदलें";
    CHANGE_ROLE: "Give this role", "Dar esta función", "यह भूमिका दें";
    NEW_PIN: "New PIN", "PIN nuevo", "नया पिन";
    CHANGE_PIN: "Set the new PIN", "Poner el PIN nuevo", "नया पिन रखें";
    LET_GO: "They have left", "Ya no trabaja aquí", "अब यहाँ नहीं हैं";
    YOU: "you", "usted", "आप";

    DEVICES: "Screens", "Pantallas", "स्क्रीनें";
    THIS_DEVICE: "this screen", "esta pantalla", "यही स्क्रीन";
    PAIRED: "let in {time} by {name}", "con acceso desde {time} por {name}", "{name} ने {time} पर जोड़ा";
    LAST_SEEN: "last used {age} ago", "usada hace {age}", "{age} पहले इस्तेमाल हुई";
    REVOKE: "Shut out", "Quitar acceso", "हटाएँ";
    PAIR_NEW: "Let a new screen in", "Dar acceso a otra pantalla", "नई स्क्रीन जोड़ें";
    PAIR_WHY: "Makes a code for one screen, good for ten minutes.", "Crea un código para una pantalla, válido diez minutos.", "एक स्क्रीन के लिए कोड बनता है, दस मिनट चलता है।";
    CODE: "Code for a new screen", "Código para otra pantalla", "नई स्क्रीन का कोड";
    CODE_HOW: "On the new screen, open {address} and type this code, or point its camera at the picture.", "En la pantalla nueva, abra {address} y teclee este código, o apunte la cámara a la imagen.", "नई स्क्रीन पर {address} खोलकर यह कोड लिखें, या कैमरा चित्र की ओर करें।";
    CODE_UNTIL: "Good until {time}, for one screen.", "Válido hasta las {time}, para una pantalla.", "{time} तक, एक स्क्रीन के लिए।";
    QR: "The same code as a picture for a camera", "El mismo código como imagen para una cámara", "यही कोड कैमरे के लिए चित्र में";

    SESSIONS: "Signed in now", "Sesiones abiertas", "अभी साइन इन";
    SINCE: "since {time}, last touched {age} ago", "desde {time}, tocada hace {age}", "{time} से, {age} पहले छुआ";
    ON: "{name} on {device}", "{name} en {device}", "{device} पर {name}";
    HERE: "here", "aquí", "यहीं";
    END: "Sign out", "Cerrar", "साइन आउट";
    END_MINE: "Sign me out everywhere else", "Cerrar mis otras sesiones", "मुझे बाकी जगह साइन आउट करें";
    END_ALL: "Sign everybody else out", "Cerrar las demás sesiones", "बाकी सबको साइन आउट करें";

    TRAIL: "What was done", "Qué se hizo", "क्या-क्या हुआ";
    TRAIL_EMPTY: "Nothing was done yet.", "Aún no se ha hecho nada.", "अभी कुछ नहीं हुआ।";
    WHEN: "When", "Cuándo", "कब";
    WHO: "Who", "Quién", "कौन";
    WHERE: "Where", "Dónde", "कहाँ";
    WHAT: "What", "Qué", "क्या";
    TO_WHAT: "To what", "A qué", "किस पर";
    OUTCOME: "Outcome", "Resultado", "नतीजा";
    DONE: "done", "hecho", "हुआ";
    REFUSED: "refused", "rechazado", "नहीं हुआ";
    BEGUN: "not known", "no se sabe", "पता नहीं";
    OLDER: "Older", "Anteriores", "पुराने";

    DID: "Done.", "Hecho.", "हो गया।";
    ACT_SET_UP: "set up the page", "preparó la página", "पन्ना तैयार किया";
    ACT_SIGN_IN: "sign in", "entrar", "साइन इन";
    ACT_PAIR: "let a screen in", "dar acceso a pantalla", "स्क्रीन जोड़ना";
    ACT_OFFER: "make a pairing code", "crear código", "कोड बनाना";
    ACT_REVOKE: "shut a screen out", "quitar acceso", "स्क्रीन हटाना";
    ACT_ADD: "add a person", "añadir persona", "व्यक्ति जोड़ना";
    ACT_ROLE: "change a role", "cambiar función", "भूमिका बदलना";
    ACT_PIN: "change a PIN", "cambiar PIN", "पिन बदलना";
    ACT_LET_GO: "let somebody go", "dar de baja", "व्यक्ति हटाना";
    ACT_END: "sign out", "cerrar sesión", "साइन आउट";
    ACT_ACCEPT: "take on", "aceptar", "लेना";
    ACT_PICK: "pick", "recoger", "चुनना";
    ACT_SHORT: "report missing", "avisar que falta", "कमी दर्ज करना";
    ACT_READY: "make ready", "dejar listo", "तैयार करना";
    ACT_REFUSE: "refuse", "rechazar", "मना करना";
    ACT_ACKNOWLEDGE: "confirm cancellation", "confirmar cancelación", "रद्द होना पक्का करना";
    ACT_PUT_BACK: "put back", "devolver", "वापस रखना";
    ACT_HAND_OVER: "hand over", "entregar", "सौंपना";
    ACT_UNDO: "take back a handover", "deshacer entrega", "सौंपना वापस लेना";
}
