//! What every screen says: the frame around it, the two lights, ages, refusals.

use super::texts;

texts! {
    STORE: "Store {store}", "Tienda {store}", "स्टोर {store}";
    SKIP: "Skip to the content", "Saltar al contenido", "सीधे मुख्य भाग पर जाएँ";
    MENU: "Main menu", "Menú principal", "मुख्य मेनू";
    MORE: "More", "Más", "और";
    TODAY: "Today", "Hoy", "आज";
    ORDERS: "Orders", "Pedidos", "ऑर्डर";
    HAND_OVER: "Hand over", "Entregar", "सौंपना";
    ITEMS: "Items", "Artículos", "सामान";
    COUNT: "Count", "Contar", "गिनती";
    MOVEMENTS: "Movements", "Movimientos", "आवाजाही";
    REPORTS: "Reports", "Informes", "रिपोर्ट";
    HELP: "Sync and help", "Conexión y ayuda", "कनेक्शन और मदद";
    PEOPLE: "People and devices", "Personas y dispositivos", "लोग और उपकरण";
    LANGUAGE: "Language", "Idioma", "भाषा";
    LOCK: "Lock", "Bloquear", "लॉक करें";
    SIGN_OUT: "Sign out", "Cerrar sesión", "साइन आउट";
    SKU: "Item no. {sku}", "Art. n.º {sku}", "सामान सं. {sku}";
    CANCEL: "Don't do it", "No hacerlo", "रहने दें";
    ROLE_ASSOCIATE: "Associate", "Empleado", "सहयोगी";
    ROLE_MANAGER: "Manager", "Encargado", "प्रबंधक";
    ROLE_IT: "IT", "Informática", "आईटी";

    CONNECTIONS: "Connections", "Conexiones", "कनेक्शन";
    SCREEN_TO_STORE: "This screen ↔ store server", "Esta pantalla ↔ servidor de la tienda", "यह स्क्रीन ↔ स्टोर सर्वर";
    STORE_TO_HQ: "Store server ↔ head office", "Servidor de la tienda ↔ central", "स्टोर सर्वर ↔ मुख्यालय";
    CONNECTED: "connected", "conectada", "जुड़ी है";
    AS_OF: "as of {time}", "a las {time}", "{time} तक";
    LOST_FOR: "lost for {age}", "perdida hace {age}", "{age} से टूटा है";
    COMING_BACK: "The store server has restarted. This page is up to date again.", "El servidor de la tienda se ha reiniciado. Esta página está al día otra vez.", "स्टोर सर्वर फिर से चालू हुआ है। यह पन्ना अब फिर ताज़ा है।";
    LOST_NOW: "This screen has lost the store server. It keeps trying; nothing you saved is lost.", "Esta pantalla ha perdido el servidor de la tienda. Sigue intentándolo; nada de lo guardado se pierde.", "इस स्क्रीन का स्टोर सर्वर से संपर्क टूट गया है। कोशिश जारी है; सहेजा हुआ कुछ नहीं खोएगा।";
    HQ_CONNECTED: "connected", "conectado", "जुड़ा है";
    HQ_CONNECTING: "connecting", "conectando", "जुड़ रहा है";
    HQ_AWAY_SINCE: "away since {time}; everything is kept here", "sin conexión desde las {time}; todo se guarda aquí", "{time} से संपर्क नहीं; सब कुछ यहीं सुरक्षित है";
    HQ_AWAY: "away since this server started; everything is kept here", "sin conexión desde que arrancó este servidor; todo se guarda aquí", "सर्वर चालू होने से अब तक संपर्क नहीं; सब कुछ यहीं सुरक्षित है";
    HQ_NONE: "this store works on its own", "esta tienda trabaja por su cuenta", "यह स्टोर अपने आप काम करता है";
    WAITING_NONE: "Nothing waits to be sent", "Nada pendiente de enviar", "भेजने को कुछ बाकी नहीं";
    WAITING_ONE: "{count} change waits for head office", "{count} cambio espera a la central", "{count} बदलाव मुख्यालय के लिए बाकी है";
    WAITING_MORE: "{count} changes wait for head office", "{count} cambios esperan a la central", "{count} बदलाव मुख्यालय के लिए बाकी हैं";

    SECONDS: "{count} s", "{count} s", "{count} से.";
    MINUTES: "{count} min", "{count} min", "{count} मिनट";
    HOURS: "{count} h", "{count} h", "{count} घंटे";
    HOURS_MINUTES: "{hours} h {minutes} min", "{hours} h {minutes} min", "{hours} घंटे {minutes} मिनट";
    DAYS_ONE: "{count} day", "{count} día", "{count} दिन";
    DAYS_MORE: "{count} days", "{count} días", "{count} दिन";
    IN: "in {age}", "en {age}", "{age} में";
    LATE: "{age} late", "{age} de retraso", "{age} की देरी";
    NOW: "now", "ahora", "अभी";
    TOMORROW_AT: "tomorrow {time}", "mañana {time}", "कल {time}";
    DAY_AT: "{day}, {time}", "{day}, {time}", "{day}, {time}";

    SAVED_HERE: "Saved here", "Guardado aquí", "यहाँ सहेजा गया";
    SAVED_HERE_WHY: "Safe on the store server; it goes to head office when the line is back.", "A salvo en el servidor de la tienda; irá a la central cuando vuelva la línea.", "स्टोर सर्वर पर सुरक्षित; लाइन लौटते ही मुख्यालय जाएगा।";
    SENT: "Sent", "Enviado", "भेजा गया";
    SENT_WHY: "On its way to head office.", "En camino a la central.", "मुख्यालय के रास्ते में है।";
    ACCEPTED: "Accepted by head office", "Aceptado por la central", "मुख्यालय ने स्वीकार किया";
    REFUSED: "Not done", "No se hizo", "नहीं हुआ";
    UNKNOWN_OUTCOME: "Not sure whether it was done", "No se sabe si se hizo", "पक्का नहीं कि हुआ या नहीं";
    UNKNOWN_OUTCOME_WHY: "The store server stopped in between. Look at it before you do it again.", "El servidor de la tienda se paró en medio. Mírelo antes de repetirlo.", "बीच में स्टोर सर्वर रुक गया था। दोबारा करने से पहले देख लें।";

    PIN_AGAIN: "Your PIN again, please", "Su PIN otra vez, por favor", "कृपया फिर से अपना पिन दें";
    PIN_AGAIN_WHY: "This moves stock or money, so we check who is at the screen.", "Esto mueve mercancía o dinero, por eso comprobamos quién está en la pantalla.", "इससे माल या पैसा इधर-उधर होता है, इसलिए हम जाँचते हैं कि स्क्रीन पर कौन है।";
    APPROVAL_WHY: "A manager has to approve this. Choose who, and let them type their PIN.", "Un encargado tiene que aprobarlo. Elija quién y deje que teclee su PIN.", "इसे प्रबंधक की मंज़ूरी चाहिए। उन्हें चुनें और उनका पिन डलवाएँ।";
    WHOSE_PIN: "Whose PIN", "PIN de", "किसका पिन";
    PIN: "PIN", "PIN", "पिन";
    CONFIRM: "Confirm", "Confirmar", "पक्का करें";
    PIN_WRONG: "That PIN is wrong.", "Ese PIN no es correcto.", "यह पिन गलत है।";
    PIN_WAIT: "Too many wrong PINs. Try again in {age}.", "Demasiados PIN incorrectos. Pruebe otra vez dentro de {age}.", "बहुत बार गलत पिन डाला गया। {age} बाद फिर कोशिश करें।";
    NOT_ALLOWED: "Your role may not do this. Ask a manager.", "Su función no puede hacer esto. Pregunte a un encargado.", "आपकी भूमिका में यह नहीं हो सकता। प्रबंधक से कहें।";

    ERROR: "Something is in the way", "Algo lo impide", "कुछ रुकावट है";
    ERROR_CODE: "Code {code}", "Código {code}", "कोड {code}";
    NOT_FOUND: "There is nothing here", "Aquí no hay nada", "यहाँ कुछ नहीं है";
    NOT_FOUND_WHY: "The address leads nowhere, or what was here is gone. Go back to Today.", "La dirección no lleva a ninguna parte, o lo que había ya no está. Vuelva a Hoy.", "यह पता कहीं नहीं जाता, या जो था वह हट गया। «आज» पर लौटें।";
    FOREIGN: "This request came from somewhere else", "Esta petición vino de otro sitio", "यह अनुरोध कहीं और से आया है";
    FOREIGN_WHY: "It did not come from a button of this page, so nothing was done. Open the page again and try once more.", "No vino de un botón de esta página, por eso no se hizo nada. Abra la página de nuevo y vuelva a probar.", "यह इस पन्ने के बटन से नहीं आया, इसलिए कुछ नहीं किया गया। पन्ना फिर खोलें और दोबारा कोशिश करें।";
    UNREADABLE: "That could not be read", "Eso no se pudo leer", "इसे पढ़ा नहीं जा सका";
    UNREADABLE_WHY: "Something is missing or too long. Go back, look at what you typed, and try again.", "Falta algo o es demasiado largo. Vuelva, mire lo que escribió y pruebe otra vez.", "कुछ छूटा है या बहुत लंबा है। वापस जाएँ, लिखा हुआ देखें और फिर कोशिश करें।";
    DISK: "The store server's disk did not answer", "El disco del servidor de la tienda no respondió", "स्टोर सर्वर की डिस्क ने जवाब नहीं दिया";
    DISK_WHY: "Nothing you see here is certain. Try again; if it stays, call IT and give them the code.", "Nada de lo que ve aquí es seguro. Pruebe otra vez; si sigue, llame a informática y dé el código.", "यहाँ दिखी कोई बात पक्की नहीं है। फिर कोशिश करें; न सुधरे तो आईटी को बुलाकर कोड बताएँ।";
    BUSY: "The store server is too busy to answer", "El servidor de la tienda está demasiado ocupado", "स्टोर सर्वर अभी बहुत व्यस्त है";
    BUSY_WHY: "Look at it before you do it again: it may have been done.", "Mírelo antes de repetirlo: puede que ya esté hecho.", "दोबारा करने से पहले देख लें: हो सकता है हो चुका हो।";
    STALE_SINCE: "Head office has been away since {time}. What it has changed since then is not here yet; everything done here is kept.", "La central está sin conexión desde las {time}. Lo que haya cambiado desde entonces no está aquí; todo lo hecho aquí se guarda.", "{time} से मुख्यालय से संपर्क नहीं है। उसके बाद के बदलाव यहाँ नहीं आए; यहाँ किया सब कुछ सुरक्षित है।";
    PARTIAL: "These are the {count} most urgent. There are more; they come up as these are done.", "Estos son los {count} más urgentes. Hay más; aparecerán a medida que se hagan estos.", "ये सबसे ज़रूरी {count} हैं। और भी हैं; इनके पूरा होने पर वे दिखेंगे।";
    SERVER_CLOCK_AHEAD: "its clock is {age} ahead of head office's", "su reloj va {age} adelantado respecto a la central", "इसकी घड़ी मुख्यालय से {age} आगे है";
    SERVER_CLOCK_BEHIND: "its clock is {age} behind head office's", "su reloj va {age} atrasado respecto a la central", "इसकी घड़ी मुख्यालय से {age} पीछे है";
    SCAN_TORN: "Scan again: the code came while the page was changing or was not read to its end. Nothing was done with it.", "Escanee otra vez: el código llegó mientras cambiaba la página o no se leyó entero. No se hizo nada con él.", "फिर से स्कैन करें: कोड पन्ना बदलते समय आया या पूरा नहीं पढ़ा गया। उससे कुछ नहीं किया गया।";
    SCAN_NOT_TAKEN: "{code} was not used: this page takes no scans.", "{code} no se usó: esta página no admite códigos.", "{code} का उपयोग नहीं हुआ: यह पन्ना स्कैन नहीं लेता।";
    UNSENT: "No answer from the store server. Look at the page before you do it again; it may have been done. Not sent after it: {count}.", "El servidor de la tienda no responde. Mire la página antes de repetirlo; puede que ya esté hecho. Sin enviar después: {count}.", "स्टोर सर्वर से जवाब नहीं आया। दोबारा करने से पहले पन्ना देखें; हो सकता है हो चुका हो। उसके बाद न भेजे गए: {count}।";
    CHANGED_MEANWHILE: "Not done: the page has changed meanwhile. Look at it, and press again if it is still needed.", "No se hizo: la página cambió entretanto. Mírela y pulse otra vez si aún hace falta.", "नहीं हुआ: इस बीच पन्ना बदल गया। देखें, और अब भी ज़रूरी हो तो फिर दबाएँ।";
    SENDING: "The store server is slow to answer. Please wait; nothing is lost. Waiting behind it: {count}.", "El servidor de la tienda tarda en responder. Espere; no se pierde nada. En espera: {count}.", "स्टोर सर्वर देर से जवाब दे रहा है। रुकें; कुछ नहीं खोएगा। पीछे बाकी: {count}।";
    CLOCK_AHEAD: "this screen's clock is {age} fast", "el reloj de esta pantalla va {age} adelantado", "इस स्क्रीन की घड़ी {age} आगे है";
    CLOCK_BEHIND: "this screen's clock is {age} slow", "el reloj de esta pantalla va {age} atrasado", "इस स्क्रीन की घड़ी {age} पीछे है";
    SOUND_NEW_ORDER: "A new order has come in.", "Ha entrado un pedido nuevo.", "नया ऑर्डर आया है।";
    JANUARY_TO_DECEMBER: "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", "ene feb mar abr may jun jul ago sep oct nov dic", "जन॰ फ़र॰ मार्च अप्रैल मई जून जुल॰ अग॰ सित॰ अक्टू॰ नव॰ दिस॰";
    MONDAY_TO_SUNDAY: "Mon Tue Wed Thu Fri Sat Sun", "lun mar mié jue vie sáb dom", "सोम मंगल बुध गुरु शुक्र शनि रवि";
}
